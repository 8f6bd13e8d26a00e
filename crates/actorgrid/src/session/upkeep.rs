//! Everything that keeps a session alive or ends it in time. It runs apart from the user's runtime,
//! and nothing that happens there can starve it.

use std::sync::Arc;

use super::fence::Fence;
use super::fence_reason::FenceReason;
use super::keeper_driver::KeeperDriver;
use super::own_keys::OwnKeys;
use super::pulse::{Pulse, TaskOutcome, outcome};
use super::watchdog::watch_over;
use crate::environment::Environment;

/// The keeper of a session, the watch of its own keys, and the looks at its deadlines: one future,
/// so that they end together.
pub(super) struct Upkeep {
    pub(super) environment: Environment,
    pub(super) fence: Arc<Fence>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) keeper: KeeperDriver,
    pub(super) own_keys: OwnKeys,
}

impl Upkeep {
    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        let keep = async {
            // Without a keeper nothing is renewed, and nobody else would notice before the soft
            // deadline.
            if outcome(&self.fence, "keeper", self.keeper.run()).await == TaskOutcome::Died {
                self.fence.trip(FenceReason::TaskDied);
            }
        };
        tokio::join!(
            biased;
            watch_over(&self.environment, &self.fence),
            keep,
            self.pulse.run("watch of own keys", self.own_keys.run()),
        );
    }
}
