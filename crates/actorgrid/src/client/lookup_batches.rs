//! Lookups that wait at the same time share a read of the registry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::locations::Freshness;
use crate::registry::{Entry, RegistryError, RegistryErrorKind, TimedRegistry};

/// Keys in one read: what etcd takes in one transaction unless a flag says otherwise.
const MAX_KEYS: usize = 128;
/// Reads under way of one lane. A lookup that comes alone never waits for others; those of a burst
/// wait for at most one reply, and a slow registry sees no more than these.
const MAX_READS: usize = 4;
/// A read whose task died with its runtime is tried again once, on the runtime of its caller.
const TRIES: usize = 2;

/// The reads that a client's lookups need, several keys at a time. A caller that stops waiting
/// takes nothing from the others.
pub(super) struct LookupBatches {
    core: Arc<BatchCore>,
}

struct BatchCore {
    registry: TimedRegistry,
    /// Those that may lag are not held up by those that may not, which a cluster without a leader
    /// does not answer.
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
    /// Those that no read has taken yet, in their order. Each has a caller that waits for it.
    waiting: BTreeMap<u64, WaitingLookup>,
    next: u64,
    /// Tasks that read.
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

    /// The entry of one key. Cancel safe.
    pub(super) async fn read(&self, key: String, freshness: Freshness) -> LookedUp {
        for _ in 0..TRIES {
            let (found, answer) = oneshot::channel();
            let key = key.clone();
            let _place = self.enqueue(freshness, WaitingLookup { key, found });
            if let Ok(found) = answer.await {
                return found;
            }
        }
        let text = "the lookup was given up: the client is closed, or its runtime has ended";
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
            // Counted by `tasks`, which the end of the client waits for. It ends when nothing
            // waits, and when the client is closed; if it dies otherwise, its callers ask again.
            let mut read = Box::pin(self.core.tasks.track_future(task.run()));
            // A registry that answers at once, as the embedded one, needs no task.
            if read.as_mut().now_or_never().is_none() {
                drop(self.core.registry.environment().spawn(read));
            }
        }
        LookupPlace { lane, place }
    }

    /// Ends all reads without waiting for that.
    pub(super) fn close_now(&self) {
        self.core.closed.cancel();
    }

    /// Ends all reads. Cancel safe.
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
    /// The lookups for one read, the oldest first.
    fn take(&mut self) -> Vec<WaitingLookup> {
        let next = || self.waiting.pop_first().map(|(_, lookup)| lookup);
        std::iter::from_fn(next).take(MAX_KEYS).collect()
    }
}

/// The place of a lookup among those that wait. Dropped, the place is free.
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
    /// It has found nothing that waits.
    ended: bool,
}

impl ReadTask {
    /// The lookups for the next read. Without any, the task has ended for those who come later.
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
                // Without a receiver its caller has stopped waiting.
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
        // Without a task nobody would read for those that wait: they ask again.
        let left = match state.reads {
            0 => std::mem::take(&mut state.waiting),
            _ => BTreeMap::new(),
        };
        drop(state);
        drop(left);
    }
}
