//! Watches the session's own keys, and fences the session when a key is deleted or belongs to
//! another session.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, SelectAll, StreamExt as _};

use super::fence::Fence;
use super::fence_reason::FenceReason;
use crate::back_off::{BackOffPolicy, RandomShare};
use crate::registry::{Entry, KeyState, KeyWatch, LeaseId, TimedRegistry};
use crate::revision::Revision;

/// The pause before a broken watch (less up to a random quarter) or a failed read of the lease is
/// retried. It does not grow, because it delays the detection of a lost key.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
const WATCH_BACK_OFF: BackOffPolicy =
    BackOffPolicy::new(RETRY_PAUSE, RETRY_PAUSE, RandomShare::Quarter);
/// How many times per time to live the keys are read again even though their watches report
/// nothing. Together with the 2/15 of the time to live that one exchange may take, this bounds the
/// detection of a key that is lost without a report to half a time to live.
const REREADS_PER_TTL: u32 = 3;

/// Watches the session's own keys.
pub(super) struct OwnKeys {
    /// Uses dedicated connections.
    pub(super) registry: TimedRegistry,
    pub(super) fence: Arc<Fence>,
    pub(super) keys: Vec<String>,
    pub(super) lease: LeaseId,
    /// The time to live of the lease.
    pub(super) ttl: Duration,
    /// The revision at which this session created all the keys.
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

    /// Returns an endless stream of the states of a key since the session began.
    fn watch(&self, key: &str) -> stream::BoxStream<'static, KeyState> {
        let (registry, key) = (self.registry.clone(), key.to_owned());
        let watch = KeyWatch::after(registry, key, WATCH_BACK_OFF, self.created)
            .reread_every(self.ttl / REREADS_PER_TTL);
        let states = stream::unfold(watch, async |mut watch| Some((watch.next().await, watch)));
        states.boxed()
    }

    /// Fences the session. If the lease is gone too, so are the names of all actors: then aborts at
    /// once, as there is no time left for a graceful stop.
    async fn lost(&self) {
        self.fence.trip(FenceReason::KeyLost);
        while !self.fence.aborted().is_cancelled() {
            let remaining = self
                .registry
                .exchange(|backend| backend.remaining(self.lease));
            match remaining.await {
                Ok(None) => self.fence.abort(),
                Ok(Some(_)) => return,
                Err(_) => self.registry.environment().sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Another peer can overwrite a key without deleting it: then the lease is not ours.
    fn is_ours(&self, entry: &Entry) -> bool {
        entry.created == self.created && entry.lease == Some(self.lease)
    }
}
