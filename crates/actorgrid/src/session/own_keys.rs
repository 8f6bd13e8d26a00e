//! Watches the session's own keys, and fences the session when a key is deleted or belongs to
//! another session.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
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
    /// Watches until everything is to be aborted, or the session has ended: when it is fenced, the
    /// names are still there, and their end must be noticed.
    pub(super) async fn run(mut self) {
        let mut guards: FuturesUnordered<_> = self.keys.iter().map(|key| self.guard(key)).collect();
        loop {
            tokio::select! {
                biased;
                Some(()) = guards.next() => return,
                Some(key) = self.further.recv() => guards.push(self.guard(&key)),
                else => return,
            }
        }
    }

    /// Fences the session when a key is lost. If its lease is gone too, so are the names of all
    /// actors under it: then aborts at once, as there is no time left for a graceful stop.
    ///
    /// Ends only when everything is to be aborted.
    fn guard(&self, key: &OwnKey) -> BoxFuture<'static, ()> {
        let (registry, fence) = (self.registry.clone(), self.fence.clone());
        let (key, age) = (key.clone(), self.ttl / REREADS_PER_TTL);
        async move {
            let watched = key.key.clone();
            let watch = KeyWatch::after(registry.clone(), watched, WATCH_BACK_OFF, key.created);
            let mut watch = watch.reread_every(age);
            while key.is_kept(&watch.next().await) {}
            fence.trip(FenceReason::KeyLost);
            while !fence.is_aborted() {
                let remaining = registry.exchange(|backend| backend.remaining(key.lease));
                let pause = match remaining.await {
                    Ok(None) => return fence.abort(),
                    Ok(Some(_)) => age,
                    Err(_) => RETRY_PAUSE,
                };
                registry.environment().sleep(pause).await;
            }
        }
        .boxed()
    }
}
