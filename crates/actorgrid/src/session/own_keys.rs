//! The watch of the session's own keys: one that is deleted, or no longer of this
//! session, ends it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, SelectAll, StreamExt as _};

use super::fence::Fence;
use super::fence_reason::FenceReason;
use crate::back_off::{BackOffPolicy, RandomShare};
use crate::registry::{Entry, KeyState, KeyWatch, LeaseId, TimedRegistry};
use crate::revision::Revision;

/// The pause before a watch that broke (less a random quarter at the most), or a read of the lease
/// that failed, is tried again. It does not grow: a lost key is noticed that much later.
const PAUSE: Duration = Duration::from_millis(250);
const WATCH_BACK_OFF: BackOffPolicy = BackOffPolicy::new(PAUSE, PAUSE, RandomShare::Quarter);
/// The keys are read again so many times in a time to live, though their watches report nothing.
/// With the 2/15 of it that one exchange may take, a key that is lost without a report is noticed
/// within half of it.
const REREADS: u32 = 3;

/// Watches the session's own keys.
pub(super) struct OwnKeys {
    /// With connections of its own.
    pub(super) registry: TimedRegistry,
    pub(super) fence: Arc<Fence>,
    pub(super) keys: Vec<String>,
    pub(super) lease: LeaseId,
    /// Of the lease.
    pub(super) ttl: Duration,
    /// The revision at which this session created all of them.
    pub(super) created: Revision,
}

impl OwnKeys {
    /// Watches until the session is fenced or ended.
    pub(super) async fn run(self) {
        let mut states: SelectAll<_> = self.keys.iter().map(|key| self.watch(key)).collect();
        while let Some(state) = states.next().await {
            match state {
                KeyState::Present(entry) if self.is_ours(&entry) => {}
                KeyState::Present(_) | KeyState::Absent => return self.lost().await,
            }
        }
    }

    /// The states of a key since the session began, without an end.
    fn watch(&self, key: &str) -> stream::BoxStream<'static, KeyState> {
        let (registry, key) = (self.registry.clone(), key.to_owned());
        let watch = KeyWatch::after(registry, key, WATCH_BACK_OFF, self.created)
            .reread_every(self.ttl / REREADS);
        let states = stream::unfold(watch, async |mut watch| Some((watch.next().await, watch)));
        states.boxed()
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
}
