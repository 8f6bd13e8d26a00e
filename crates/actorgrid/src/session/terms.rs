//! What the peer's settings say about each of its sessions.

use std::sync::Arc;
use std::time::Duration;

use super::longest_stall::LongestStall;

/// The settings of a peer that each of its sessions keeps to.
#[derive(Debug, Clone)]
pub(crate) struct SessionTerms {
    /// The time to live that is asked of the registry for the lease.
    pub(crate) ttl: Duration,
    /// The leases are renewed only while the user's runtime was not stuck for as long as this.
    pub(crate) max_stall: Duration,
    /// Where stalls are recorded.
    pub(crate) longest_stall: Arc<LongestStall>,
}
