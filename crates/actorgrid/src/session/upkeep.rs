//! The part of a session that keeps it alive. It runs on a dedicated runtime, so that nothing on
//! the user's runtime can starve it.

use std::sync::Arc;

use super::fence::Fence;
use super::fence_reason::FenceReason;
use super::keeper_driver::KeeperDriver;
use super::own_keys::OwnKeys;
use super::pulse::{Pulse, run_to_its_end};

/// The keeper of a session and the watch of its own keys: one future, so that they end together.
pub(super) struct Upkeep {
    pub(super) fence: Arc<Fence>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) keeper: KeeperDriver,
    pub(super) own_keys: OwnKeys,
}

impl Upkeep {
    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        let _panic = AbortOnPanic(&self.fence);
        // Without a keeper nothing is renewed, and nothing else would notice before the soft
        // deadline.
        let keeper_died = || self.fence.trip(FenceReason::TaskDied);
        tokio::join!(
            biased;
            run_to_its_end(&self.fence, "keeper", self.keeper.run(), keeper_died),
            self.pulse.run("watch of own keys", self.own_keys.run()),
        );
    }
}

/// Fences and aborts when a panic ends the upkeep: then nothing renews the lease, and nothing would
/// notice that a key is lost. Panics of the two tasks are caught earlier; a panic of the log that
/// reports them is not. An end without a panic was requested.
struct AbortOnPanic<'a>(&'a Fence);

impl Drop for AbortOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.trip(FenceReason::TaskDied);
            self.0.abort();
        }
    }
}
