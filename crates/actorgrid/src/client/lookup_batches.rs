//! Batches lookups: lookups that wait at the same time share a read of the registry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::locations::Freshness;
use crate::registry::{Entry, RegistryError, RegistryErrorKind, TimedRegistry};

/// The maximum number of keys in one read: etcd's limit for one transaction unless a flag changes
/// it.
const MAX_KEYS: usize = 128;
/// The maximum number of reads under way in one lane. A lookup that arrives alone never waits for
/// others; lookups of a burst wait for at most one reply, and a slow registry sees no more reads
/// than these.
const MAX_READS: usize = 4;
/// A read whose task died with its runtime is retried once, on the runtime of its caller.
const TRIES: usize = 2;

/// The reads that a client's lookups need, several keys at a time. A caller that stops waiting does
/// not affect the others.
pub(super) struct LookupBatches {
    core: Arc<BatchCore>,
}

struct BatchCore {
    registry: TimedRegistry,
    /// Separate from linearizable lookups, which a cluster without a leader does not answer, so
    /// that those do not delay lookups that may lag.
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
    /// Lookups that no read has taken yet, in order. Each has a caller that waits for it.
    waiting: BTreeMap<u64, WaitingLookup>,
    next: u64,
    /// The number of tasks that read.
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
            // Counted by `tasks`, for which closing the client waits. The task ends when nothing
            // waits any more, and when the client is closed; if it dies otherwise, its callers ask
            // again.
            let mut read = Box::pin(self.core.tasks.track_future(task.run()));
            // A registry that answers at once, like the embedded one, needs no task.
            if read.as_mut().now_or_never().is_none() {
                drop(self.core.registry.environment().spawn(read));
            }
        }
        LookupPlace { lane, place }
    }

    /// Ends all reads, without waiting for their end.
    pub(super) fn close_now(&self) {
        self.core.closed.cancel();
    }

    /// Ends all reads and waits for their end. Cancel safe.
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

/// The place of a lookup among the waiting ones. Dropping it frees the place.
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

/// One of the tasks that read in a lane.
struct ReadTask {
    core: Arc<BatchCore>,
    freshness: Freshness,
    /// Set when the task has found no waiting lookup.
    ended: bool,
}

impl ReadTask {
    /// Takes the lookups for the next read. If there are none, the task counts as ended for later
    /// lookups.
    fn take(&mut self) -> Vec<WaitingLookup> {
        let mut state = self.core.lane(self.freshness).lock();
        let lookups = state.take();
        if lookups.is_empty() {
            state.reads -= 1;
            self.ended = true;
        }
        lookups
    }

    /// Reads for as long as lookups wait.
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
        // Without a task, nobody would read for the waiting lookups, so their callers ask again.
        let left = match state.reads {
            0 => std::mem::take(&mut state.waiting),
            _ => BTreeMap::new(),
        };
        drop(state);
        drop(left);
    }
}
