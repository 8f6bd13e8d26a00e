//! The unanswered calls to mailboxes of the same process, and the tasks that end them at their
//! deadlines: none of them needs a channel or a timer of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::runtime::Id as RuntimeId;
use tokio::task::JoinHandle;
use tracing::error;

use super::directory::Directory;
use super::local_call::{CallShard, TakenPlace};
use super::local_reply::LocalReply;
use super::meta::Meta;
use crate::environment::{Deadline, Environment};

/// Calls that are made at the same time seldom share a lock.
const SHARDS: usize = 16;
/// The least time between two looks at the deadlines, and so how late an end is noticed. A timer
/// for each call would cost more than the rest of the call.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// The longest time between two looks. A call with less time than this goes another way, with a
/// timer: so no call has to wake the tasks that look.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// The tasks that look. A timer wakes a task in the place of a worker's next one, and no other
/// worker takes it from there: if that worker runs something else first, which blocks, the task
/// waits for it. With a second one, the first moves to where others can take it.
const LOOKING_TASKS: usize = 2;

/// The unanswered calls of a server's clients to its own mailboxes.
pub(super) struct LocalCalls {
    shards: CallShards,
    /// Where the deadlines are looked at.
    runtime: RuntimeId,
}

type CallShards = [Arc<CallShard>; SHARDS];

/// The tasks that end local calls at their deadlines. Dropped, they end with the last call.
pub(crate) struct CallDeadlines {
    shards: CallShards,
    tasks: [JoinHandle<()>; LOOKING_TASKS],
}

impl LocalCalls {
    /// Calls to the mailboxes of a directory, from this runtime.
    pub(super) fn start(
        directory: &Arc<dyn Directory>,
        environment: &Environment,
    ) -> (Arc<Self>, CallDeadlines) {
        let shard = |_| {
            Arc::new(CallShard {
                places: Arc::default(),
                directory: directory.clone(),
            })
        };
        let shards: CallShards = std::array::from_fn(shard);
        let calls = Self {
            shards: shards.clone(),
            runtime: Handle::current().id(),
        };
        // Ended and joined by `CallDeadlines`, unless calls wait.
        let tasks = std::array::from_fn(|_| {
            let ends = EndedCalls(shards.clone());
            environment.spawn(end_overdue(ends, environment.clone()))
        });
        (Arc::new(calls), CallDeadlines { shards, tasks })
    }

    /// Takes a place for a call that has this much time, and returns where its answer goes.
    ///
    /// There is none for a requester on another runtime: its deadline must not depend on this one,
    /// which may be blocked. Nor for very short times, nor if there are too many calls.
    pub(super) fn begin(
        &self,
        meta: &Meta,
        time: Duration,
        cx: &Context<'_>,
    ) -> Option<(TakenPlace, LocalReply)> {
        if time < LONGEST_PAUSE || Handle::try_current().ok()?.id() != self.runtime {
            return None;
        }
        // Requests are numbered one after the other.
        let shard = &self.shards[meta.id.0 as usize % SHARDS];
        let key = shard.places.take(meta.deadline, cx.waker().clone())?;
        let place = TakenPlace::new(shard.clone(), key);
        Some((place, LocalReply::new(shard.places.clone(), key)))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let places = self.shards.iter().map(|shard| shard.places.lock());
        places.map(|state| state.len()).sum()
    }
}

impl CallDeadlines {
    /// Ends the tasks, unless calls wait: then they end with the last of them.
    pub(crate) async fn end(mut self) {
        if self.close() {
            for task in &mut self.tasks {
                let _ = task.await;
            }
        }
    }

    /// Lets no call begin any more, and ends the tasks if none waits. Returns whether they end.
    fn close(&self) -> bool {
        let mut is_idle = true;
        for shard in &self.shards {
            is_idle &= shard.places.close();
        }
        if is_idle {
            self.tasks.iter().for_each(JoinHandle::abort);
        }
        is_idle
    }
}

impl Drop for CallDeadlines {
    fn drop(&mut self) {
        self.close();
    }
}

/// Ends all calls that wait when it is dropped: nobody looks at their deadlines from then on. The
/// task may go with its runtime while requesters on other threads wait.
struct EndedCalls(CallShards);

impl Drop for EndedCalls {
    fn drop(&mut self) {
        let mut woken = Vec::new();
        for shard in &self.0 {
            shard.places.desert(&mut woken);
        }
        wake(woken);
    }
}

/// Ends calls at their deadlines, until no more can begin and none waits.
async fn end_overdue(calls: EndedCalls, environment: Environment) {
    let shards = &calls.0;
    loop {
        let now = Deadline::after(Duration::ZERO);
        let mut woken = Vec::new();
        let next = shards
            .iter()
            .filter_map(|shard| shard.places.expire(now, &mut woken))
            .min();
        wake(woken);
        if next.is_none() && shards.iter().all(|shard| shard.places.is_done()) {
            return;
        }
        let pause = next.map_or(LONGEST_PAUSE, |next| next.remaining());
        let pause = pause.clamp(LOOK_INTERVAL, LONGEST_PAUSE);
        environment.sleep(pause).await;
    }
}

/// Wakes requesters, whose wakers may be code of users. Their panics must not keep others from
/// being woken, nor must the drop of what they panic with, nor a log that panics.
fn wake(woken: Vec<Waker>) {
    for waker in woken {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) else {
            continue;
        };
        std::mem::forget(panic);
        let log = || error!("waking the task of a request at its end panicked");
        if let Err(panic) = catch_unwind(AssertUnwindSafe(log)) {
            std::mem::forget(panic);
        }
    }
}
