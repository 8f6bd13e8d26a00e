//! Waits for names to be registered: all callers that wait for the same name share one watch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};

use super::watch::WATCH_PAUSE;
use crate::registry::{KeyState, KeyWatch, TimedRegistry};

type NameWait = BoxFuture<'static, ()>;

/// The names that callers wait for, each with one watch. Not limited: each has a waiting caller.
#[derive(Default)]
pub(super) struct NameWaits {
    by_key: Arc<Mutex<HashMap<String, WeakShared<NameWait>>>>,
}

impl NameWaits {
    /// Returns the wait for a key. It continues as long as one caller waits.
    ///
    /// A caller that joins a wait which has just read the key may learn of a holder that is already
    /// gone: it then finds nobody, and waits again.
    pub(super) fn shared(&self, registry: &TimedRegistry, key: String) -> Shared<NameWait> {
        let mut by_key = lock(&self.by_key);
        if let Some(shared) = by_key.get(&key).and_then(WeakShared::upgrade) {
            return shared;
        }
        let place = NameWaitPlace {
            by_key: self.by_key.clone(),
            key: key.clone(),
        };
        let mut states = KeyWatch::new(registry.clone(), key.clone(), WATCH_PAUSE);
        let wait = async move {
            while states.next().await == KeyState::Absent {}
            drop(place);
        };
        let shared = wait.boxed().shared();
        if let Some(weak) = shared.downgrade() {
            by_key.insert(key, weak);
        }
        shared
    }
}

/// Removes a wait from the shared ones when it has ended or nobody waits for it any more.
struct NameWaitPlace {
    by_key: Arc<Mutex<HashMap<String, WeakShared<NameWait>>>>,
    key: String,
}

impl Drop for NameWaitPlace {
    fn drop(&mut self) {
        // If another wait for the name has begun meanwhile, it only ceases to be shared.
        lock(&self.by_key).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use futures_util::poll;

    use super::*;
    use crate::environment::Simulation;
    use crate::registry::{MemoryOperation, MemoryRegistry};

    const KEY: &str = "test.mailbox.a";

    fn start() -> (MemoryRegistry, TimedRegistry, NameWaits) {
        let environment = Simulation::new(7).environment();
        let memory = MemoryRegistry::new(&environment);
        let timed = TimedRegistry::new(&environment, &memory.registry(), Duration::from_secs(1));
        (memory, timed, NameWaits::default())
    }

    #[tokio::test(start_paused = true)]
    async fn all_waits_for_a_name_share_one_watch() {
        let (memory, timed, waits) = start();
        let wait = |key: &str| waits.shared(&timed, key.to_owned());
        let mut waiting: Vec<_> = (0..1_000).map(|_| wait(KEY)).collect();
        let mut other = wait("test.mailbox.b");
        for wait in &mut waiting {
            assert!(poll!(wait).is_pending());
        }
        assert!(poll!(&mut other).is_pending());
        assert_eq!(memory.calls(MemoryOperation::Watch), 2);
        // The caller that started the wait stops waiting.
        drop(waiting.remove(0));
        memory.overwrite(KEY, "x");
        join_all(waiting).await;
        assert!(poll!(&mut other).is_pending());
        drop(other);
        assert_eq!(lock(&waits.by_key).len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_begins_after_a_registration_gets_its_own_watch() {
        let (memory, timed, waits) = start();
        let mut early = waits.shared(&timed, KEY.to_owned());
        assert!(poll!(&mut early).is_pending());
        memory.overwrite(KEY, "x");
        early.await;
        memory.delete(KEY);
        let mut late = waits.shared(&timed, KEY.to_owned());
        assert!(poll!(&mut late).is_pending());
        memory.overwrite(KEY, "y");
        late.await;
        assert_eq!(memory.calls(MemoryOperation::Watch), 2);
    }
}
