//! The task that watches the session's own keys: one that is deleted, or no longer of this
//! session, ends it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SelectAll, StreamExt as _};

use super::fence::Fence;
use super::fence_reason::FenceReason;
use crate::registry::{Change, Entry, LeaseId, RegistryError, Selector, TimedRegistry};
use crate::revision::Revision;

/// The pause before the watch is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// Watches the session's own keys.
pub(super) struct OwnKeys {
    pub(super) registry: TimedRegistry,
    pub(super) fence: Arc<Fence>,
    pub(super) keys: Vec<String>,
    pub(super) lease: LeaseId,
    /// The revision at which this session created all of them.
    pub(super) created: Revision,
}

impl OwnKeys {
    /// Watches until the session is fenced or ended.
    pub(super) async fn run(self) {
        let mut from = self.created.next();
        loop {
            match self.watch(from).await {
                Ok(()) => return self.lost().await,
                Err(error) => {
                    tracing::debug!(%error, "watch of the session's keys is resumed");
                    self.registry.environment().sleep(PAUSE).await;
                }
            }
            // The history may be gone: what is there now decides, and the watch goes on from it.
            let get = self.registry.exchange(|backend| backend.get(&self.keys));
            if let Ok(found) = get.await {
                let ours =
                    |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| self.is_ours(entry));
                if !found.iter().all(ours) {
                    return self.lost().await;
                }
                let next = found.iter().flatten().map(|entry| entry.modified.next());
                from = next.fold(from, Revision::max);
            }
        }
    }

    /// Fences the session. If the lease is gone, so are the names of all actors: that leaves the
    /// actors no time.
    async fn lost(&self) {
        self.fence.trip(FenceReason::KeyLost);
        while !self.fence.aborted().is_cancelled() {
            let remaining = self
                .registry
                .exchange(|backend| backend.remaining(self.lease));
            match remaining.await {
                Ok(None) => self.fence.abort(),
                Ok(Some(_)) => return,
                Err(_) => self.registry.environment().sleep(PAUSE).await,
            }
        }
    }

    /// Another peer can put over a key without deleting it: then the lease is not ours.
    fn is_ours(&self, entry: &Entry) -> bool {
        entry.created == self.created && entry.lease == Some(self.lease)
    }

    /// Ends well when a key is lost.
    async fn watch(&self, from: Revision) -> Result<(), RegistryError> {
        let mut changes = SelectAll::new();
        for key in &self.keys {
            let selector = Selector::Key(key.clone());
            let watch = self
                .registry
                .exchange(|backend| backend.watch(&selector, from));
            changes.push(watch.await?);
        }
        while let Some(batch) = changes.next().await {
            for change in batch? {
                match change {
                    Change::Put(entry) if self.is_ours(&entry) => {}
                    Change::Put(_) | Change::Deleted { .. } => return Ok(()),
                }
            }
        }
        Err(RegistryError::no_reply())
    }
}
