//! Another client of etcd: one get and one put every 5 ms, whatever became of those before.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bench_kit::{BoxError, LatencyHistogram, Schedule};
use tokio::runtime::Handle;

use crate::etcd_client::EtcdClient;

const PER_SECOND: f64 = 200.0;
const KEY: &str = "probe";
/// With so many unanswered, etcd has stopped answering: a minute of calls.
const MAX_UNANSWERED: usize = 24_000;
const POLL: Duration = Duration::from_millis(10);

/// The latencies of the calls that were due in one phase.
#[derive(Debug, Clone)]
pub(crate) struct PhaseLatencies {
    pub(crate) name: &'static str,
    pub(crate) gets: LatencyHistogram,
    pub(crate) puts: LatencyHistogram,
    pub(crate) errors: u64,
}

/// Calls until it is stopped.
pub(crate) struct Probe {
    shared: Arc<SharedProbe>,
    pacer: JoinHandle<()>,
}

struct SharedProbe {
    client: EtcdClient,
    /// The last one is under way.
    phases: Mutex<Vec<PhaseLatencies>>,
    unanswered: AtomicUsize,
    stopped: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
enum ProbeCall {
    Get,
    Put,
}

impl Probe {
    /// Starts in a first phase.
    pub(crate) fn start(client: EtcdClient, phase: &'static str) -> Self {
        let shared = Arc::new(SharedProbe {
            client,
            phases: Mutex::default(),
            unanswered: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        shared.begin(phase);
        let (pacing, runtime) = (shared.clone(), Handle::current());
        // A thread, as tokio's timers are a millisecond apart. It sleeps between the calls.
        let pacer = std::thread::spawn(move || pacing.pace(&runtime));
        Self { shared, pacer }
    }

    /// Counts what is due from now on in another phase.
    pub(crate) fn begin(&self, phase: &'static str) {
        self.shared.begin(phase);
    }

    /// Stops, waits for the answers, and returns what each phase has counted.
    pub(crate) async fn stop(self) -> Result<Vec<PhaseLatencies>, BoxError> {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let paced = tokio::task::spawn_blocking(move || self.pacer.join());
        paced.await?.map_err(|_| "the probe has panicked")?;
        while self.shared.unanswered.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(POLL).await;
        }
        Ok(self.shared.lock().clone())
    }
}

impl SharedProbe {
    fn begin(&self, name: &'static str) {
        self.lock().push(PhaseLatencies {
            name,
            gets: LatencyHistogram::new(),
            puts: LatencyHistogram::new(),
            errors: 0,
        });
    }

    fn pace(self: Arc<Self>, runtime: &Handle) {
        let schedule = Schedule::new(Instant::now(), PER_SECOND);
        for number in 0.. {
            let due = schedule.due(number);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            // A call belongs to the phase in which it is due.
            let phase = self.lock().len() - 1;
            for call in [ProbeCall::Get, ProbeCall::Put] {
                if self.unanswered.fetch_add(1, Ordering::Relaxed) < MAX_UNANSWERED {
                    runtime.spawn(self.clone().call(call, phase, due));
                } else {
                    self.unanswered.fetch_sub(1, Ordering::Relaxed);
                    self.lock()[phase].errors += 1;
                }
            }
        }
    }

    async fn call(self: Arc<Self>, call: ProbeCall, phase: usize, due: Instant) {
        let answer = match call {
            ProbeCall::Get => self.client.get(KEY).await,
            ProbeCall::Put => self.client.put(KEY).await,
        };
        let latency = due.elapsed();
        {
            let phase = &mut self.lock()[phase];
            match (answer, call) {
                (Ok(()), ProbeCall::Get) => phase.gets.record(latency),
                (Ok(()), ProbeCall::Put) => phase.puts.record(latency),
                (Err(_), _) => phase.errors += 1,
            }
        }
        self.unanswered.fetch_sub(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PhaseLatencies>> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
