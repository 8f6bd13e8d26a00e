//! Watches the session's own keys, and fences the session when a key is deleted or belongs to
//! another session.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, SelectAll, StreamExt as _};
use tokio::sync::mpsc;

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

/// A key that the session has put and must keep.
#[derive(Debug, Clone)]
pub(super) struct OwnKey {
    pub(super) key: String,
    pub(super) lease: LeaseId,
    /// The revision at which this session created the key.
    pub(super) created: Revision,
}

impl OwnKey {
    /// Another peer can overwrite a key without deleting it: then the lease is not ours.
    fn is_kept(&self, state: &KeyState) -> bool {
        let is_ours =
            |entry: &Entry| entry.created == self.created && entry.lease == Some(self.lease);
        match state {
            KeyState::Present(entry) => is_ours(entry),
            KeyState::Absent => false,
        }
    }
}

/// Watches the session's own keys.
pub(super) struct OwnKeys {
    /// Uses dedicated connections.
    pub(super) registry: TimedRegistry,
    pub(super) fence: Arc<Fence>,
    pub(super) keys: Vec<OwnKey>,
    /// Receives the keys that are put later.
    pub(super) further: mpsc::UnboundedReceiver<OwnKey>,
    /// The time to live of the leases.
    pub(super) ttl: Duration,
}

impl OwnKeys {
    /// Watches until the session is fenced or ended.
    pub(super) async fn run(mut self) {
        let mut states: SelectAll<_> = self.keys.iter().map(|key| self.watch(key)).collect();
        loop {
            tokio::select! {
                biased;
                Some((key, state)) = states.next() => if !key.is_kept(&state) {
                    return self.lost(key.lease).await;
                },
                Some(key) = self.further.recv() => states.push(self.watch(&key)),
                else => return,
            }
        }
    }

    /// Returns an endless stream of the states of a key since the session put it.
    fn watch(&self, key: &OwnKey) -> stream::BoxStream<'static, (Arc<OwnKey>, KeyState)> {
        let key = Arc::new(key.clone());
        let watch = KeyWatch::after(
            self.registry.clone(),
            key.key.clone(),
            WATCH_BACK_OFF,
            key.created,
        );
        let watch = watch.reread_every(self.ttl / REREADS_PER_TTL);
        let states = stream::unfold((key, watch), async |(key, mut watch)| {
            let state = watch.next().await;
            Some(((key.clone(), state), (key, watch)))
        });
        states.boxed()
    }

    /// Fences the session because a key under this lease is lost. If the lease is gone too, so are
    /// the names of all actors under it: then aborts at once, as there is no time left for a
    /// graceful stop.
    async fn lost(&self, lease: LeaseId) {
        self.fence.trip(FenceReason::KeyLost);
        while !self.fence.aborted().is_cancelled() {
            let remaining = self.registry.exchange(|backend| backend.remaining(lease));
            match remaining.await {
                Ok(None) => self.fence.abort(),
                Ok(Some(_)) => return,
                Err(_) => self.registry.environment().sleep(RETRY_PAUSE).await,
            }
        }
    }
}
