//! Watches of the memory registry.

use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::stream;

use crate::environment::Timestamp;
use crate::registry::{RegistryError, Selector, WatchStream, WatchUpdate};
use crate::revision::Revision;

use super::call::unavailable;
use super::memory_core::MemoryCore;
use super::state::{MemoryState, Presence};
use super::store::NextChanges;

/// A watch that reads from the shared history. It buffers no changes, so a slow watch costs
/// nothing: it falls behind the history and fails as compacted.
struct HistoryWatch {
    core: Arc<MemoryCore>,
    selector: Selector,
    /// The first revision that the watch has not seen.
    next: Revision,
    /// How often all watches were broken before this one was opened.
    breaks: u64,
    /// How often all watches were muted before this one was opened.
    mutes: u64,
}

pub(super) fn open(core: &Arc<MemoryCore>, selector: Selector, from: Revision) -> WatchStream {
    let watch = HistoryWatch {
        core: Arc::clone(core),
        selector,
        next: from,
        breaks: core.with(|state, _| state.breaks()),
        mutes: core.with(|state, _| state.mutes()),
    };
    Box::pin(stream::unfold(Some(watch), |watch| async move {
        let mut watch = watch?;
        let update = watch.update().await;
        let rest = update.is_ok().then_some(watch);
        Some((update, rest))
    }))
}

impl HistoryWatch {
    async fn update(&mut self) -> Result<WatchUpdate, RegistryError> {
        let core = Arc::clone(&self.core);
        loop {
            // Create this before looking, so that a change just afterwards wakes the watch.
            let moved = core.moved.notified();
            match core.with(|state, _| self.look(state)) {
                ControlFlow::Break(found) => return found,
                // Due changes happen only when something looks: here the watch itself.
                ControlFlow::Continue(Some(due)) => tokio::select! {
                    biased;
                    () = moved => {}
                    () = core.environment.sleep_until(due) => {}
                },
                ControlFlow::Continue(None) => moved.await,
            }
        }
    }

    /// Looks at the state. Returns the next update, or the time by which to look again.
    fn look(
        &mut self,
        state: &MemoryState,
    ) -> ControlFlow<Result<WatchUpdate, RegistryError>, Option<Timestamp>> {
        match state.presence() {
            // Leases still expire meanwhile, but the watch does not report it.
            Presence::Away => return ControlFlow::Continue(None),
            Presence::Here if state.breaks() == self.breaks => {
                if state.mutes() != self.mutes {
                    return ControlFlow::Continue(None);
                }
            }
            Presence::Here | Presence::Refusing => return ControlFlow::Break(Err(unavailable())),
        }
        match state.store.changes(&self.selector, self.next) {
            Ok(NextChanges::At(changes)) => {
                if let Some(last) = changes.last() {
                    self.next = last.revision().next();
                }
                ControlFlow::Break(Ok(WatchUpdate::Changes(changes)))
            }
            Ok(NextChanges::NoneUpTo(revision)) if revision >= self.next => {
                self.next = revision.next();
                ControlFlow::Break(Ok(WatchUpdate::CompleteTo(revision)))
            }
            Ok(NextChanges::NoneUpTo(_)) => ControlFlow::Continue(state.due()),
            Err(compacted) => ControlFlow::Break(Err(compacted)),
        }
    }
}
