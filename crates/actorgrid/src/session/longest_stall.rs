//! The longest stall of the user's runtime, for the statistics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The longest stall of the runtime on which a peer was bound, over all its sessions.
#[derive(Debug, Default)]
pub(crate) struct LongestStall {
    nanos: AtomicU64,
}

impl LongestStall {
    pub(super) fn record(&self, stall: Duration) {
        let nanos = u64::try_from(stall.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    /// Returns the longest stall, or zero if there was none.
    pub(crate) fn get(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}
