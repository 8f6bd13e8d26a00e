//! Batches lookups: lookups that are waiting at the same time share one read of the registry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::locations::Freshness;
use crate::registry::{Entry, RegistryError, RegistryErrorKind, TimedRegistry};

/// The maximum number of keys in one read: etcd's default limit on the operations in one
/// transaction.
const MAX_KEYS: usize = 128;
/// The maximum number of reads under way in one lane. Up to this many lookups are read without
/// waiting for others. In a burst, the next [`MAX_KEYS`] lookups wait for the reply to one earlier
/// read. A slow registry never has more reads than this to answer at once.
const MAX_READS: usize = 4;
/// The number of times that a lookup is tried: if the task that reads for it dies with its runtime,
/// the lookup is tried once more, on the runtime of its caller.
const TRIES: usize = 2;

/// Reads the registry for a client's lookups, several keys at a time. A caller that stops waiting
/// does not affect the others.
pub(super) struct LookupBatches {
    core: Arc<BatchCore>,
}

struct BatchCore {
    registry: TimedRegistry,
    /// Lookups that may lag. They have their own lane because a cluster without a leader does not
    /// answer linearizable lookups, which must not delay these.
    lagging: Lane,
    linearizable: Lane,
    closed: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Lane {
    state: Mutex<LaneState>,
}

#[derive(Default)]
struct LaneState {
    /// Lookups that no read has taken yet, in order. A caller is waiting for each of them.
    waiting: BTreeMap<u64, WaitingLookup>,
    next: u64,
    /// The number of [`ReadTask`]s.
    reads: usize,
}

struct WaitingLookup {
    key: String,
    found: oneshot::Sender<LookedUp>,
}

type LookedUp = Result<Option<Entry>, RegistryError>;

impl LookupBatches {
    pub(super) fn new(registry: TimedRegistry) -> Self {
        Self {
            core: Arc::new(BatchCore {
                registry,
                lagging: Lane::default(),
                linearizable: Lane::default(),
                closed: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Returns the entry of one key. Cancel safe.
    pub(super) async fn read(&self, key: String, freshness: Freshness) -> LookedUp {
        for _ in 0..TRIES {
            let (found, answer) = oneshot::channel();
            let key = key.clone();
            let _place = self.enqueue(freshness, WaitingLookup { key, found });
            if let Ok(found) = answer.await {
                return found;
            }
        }
        let text = "the lookup was abandoned: the client is closed, or its runtime has ended";
        Err(RegistryError::new(RegistryErrorKind::Unavailable, text))
    }

    fn enqueue(&self, freshness: Freshness, lookup: WaitingLookup) -> LookupPlace<'_> {
        let lane = self.core.lane(freshness);
        let mut state = lane.lock();
        let place = state.next;
        state.next += 1;
        state.waiting.insert(place, lookup);
        let reads = state.reads < MAX_READS;
        state.reads += usize::from(reads);
        drop(state);
        if reads {
            let core = self.core.clone();
            let task = ReadTask {
                core,
                freshness,
                ended: false,
            };
            // `tasks` tracks the read, so closing the client waits for it. The read ends when no
            // lookup is waiting any more, or when the client is closed; if it dies for another
            // reason, the callers try again.
            let mut read = Box::pin(self.core.tasks.track_future(task.run()));
            // A registry that answers at once, like the embedded one, needs no task.
            if read.as_mut().now_or_never().is_none() {
                drop(self.core.registry.environment().spawn(read));
            }
        }
        LookupPlace { lane, place }
    }

    /// Ends all reads, but does not wait until they have ended.
    pub(super) fn close_now(&self) {
        self.core.closed.cancel();
    }

    /// Ends all reads and waits until they have ended. Cancel safe.
    pub(super) async fn close(&self) {
        self.close_now();
        self.core.tasks.close();
        self.core.tasks.wait().await;
    }
}

impl Drop for LookupBatches {
    fn drop(&mut self) {
        self.close_now();
    }
}

impl BatchCore {
    fn lane(&self, freshness: Freshness) -> &Lane {
        match freshness {
            Freshness::MayLag => &self.lagging,
            Freshness::Linearizable => &self.linearizable,
        }
    }

    async fn read(&self, keys: &[String], freshness: Freshness) -> ReadEntries {
        let read = self.registry.exchange(|backend| match freshness {
            Freshness::MayLag => backend.peek(keys),
            Freshness::Linearizable => backend.get(keys),
        });
        read.await
    }
}

type ReadEntries = Result<Vec<Option<Entry>>, RegistryError>;

impl Lane {
    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LaneState {
    /// Takes the lookups for one read, the oldest first.
    fn take(&mut self) -> Vec<WaitingLookup> {
        let next = || self.waiting.pop_first().map(|(_, lookup)| lookup);
        std::iter::from_fn(next).take(MAX_KEYS).collect()
    }
}

/// The place of one lookup among those that are waiting. Dropping it frees the place.
struct LookupPlace<'a> {
    lane: &'a Lane,
    place: u64,
}

impl Drop for LookupPlace<'_> {
    fn drop(&mut self) {
        let left = self.lane.lock().waiting.remove(&self.place);
        drop(left);
    }
}

/// One of the tasks that read for the lookups of a lane.
struct ReadTask {
    core: Arc<BatchCore>,
    freshness: Freshness,
    /// Set when the task found no waiting lookup and is no longer counted.
    ended: bool,
}

impl ReadTask {
    /// Takes the lookups for the next read. If there are none, the task is no longer counted, so
    /// that the next lookup can start another one.
    fn take(&mut self) -> Vec<WaitingLookup> {
        let mut state = self.core.lane(self.freshness).lock();
        let lookups = state.take();
        if lookups.is_empty() {
            state.reads -= 1;
            self.ended = true;
        }
        lookups
    }

    /// Reads until no lookup is waiting, or the client is closed.
    async fn run(mut self) {
        loop {
            let lookups = self.take();
            if lookups.is_empty() {
                return;
            }
            let keys: Vec<_> = lookups.iter().map(|lookup| lookup.key.clone()).collect();
            let read = tokio::select! {
                biased;
                () = self.core.closed.cancelled() => return,
                read = self.core.read(&keys, self.freshness) => read,
            };
            let mut read = read.map(Vec::into_iter);
            for lookup in lookups {
                let found = match &mut read {
                    Ok(entries) => Ok(entries.next().flatten()),
                    Err(error) => Err(error.clone()),
                };
                // Without a receiver, the caller has stopped waiting.
                let _ = lookup.found.send(found);
            }
        }
    }
}

impl Drop for ReadTask {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.core.lane(self.freshness).lock();
        state.reads -= 1;
        // If this was the last task, nothing would read for the waiting lookups: dropping them
        // makes their callers try again.
        let left = match state.reads {
            0 => std::mem::take(&mut state.waiting),
            _ => BTreeMap::new(),
        };
        drop(state);
        drop(left);
    }
}
