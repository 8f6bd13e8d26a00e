//! How clients wait for a name to be registered: all who wait for one name share a watch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};

use super::watch::WATCH_PAUSE;
use crate::registry::{KeyState, KeyWatch, TimedRegistry};

type NameWait = BoxFuture<'static, ()>;

/// The names that somebody waits for, each with one watch. Not limited: each has a caller.
#[derive(Default)]
pub(super) struct NameWaits {
    by_key: Arc<Mutex<HashMap<String, WeakShared<NameWait>>>>,
}

impl NameWaits {
    /// The wait for a key, which goes on as long as one caller waits.
    ///
    /// A caller that joins one which has just read the key may be told of a holder that it has
    /// missed already: then it finds nobody, and waits anew.
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

/// The place of a wait among the others, until it has ended or nobody waits for it.
struct NameWaitPlace {
    by_key: Arc<Mutex<HashMap<String, WeakShared<NameWait>>>>,
    key: String,
}

impl Drop for NameWaitPlace {
    fn drop(&mut self) {
        // If another wait for the name began meanwhile, it is only not shared any more.
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
    async fn all_who_wait_for_a_name_share_one_watch() {
        let (memory, timed, waits) = start();
        let wait = |key: &str| waits.shared(&timed, key.to_owned());
        let mut waiting: Vec<_> = (0..1_000).map(|_| wait(KEY)).collect();
        let mut other = wait("test.mailbox.b");
        for wait in &mut waiting {
            assert!(poll!(wait).is_pending());
        }
        assert!(poll!(&mut other).is_pending());
        assert_eq!(memory.calls(MemoryOperation::Watch), 2);
        // The one that began it does not wait any longer.
        drop(waiting.remove(0));
        memory.overwrite(KEY, "x");
        join_all(waiting).await;
        assert!(poll!(&mut other).is_pending());
        drop(other);
        assert_eq!(lock(&waits.by_key).len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_after_a_name_was_registered_gets_a_watch_of_its_own() {
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
