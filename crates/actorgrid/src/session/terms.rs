//! The settings of a peer that apply to its sessions.

use std::sync::Arc;
use std::time::Duration;

use super::longest_stall::LongestStall;

/// The settings of a peer that apply to each of its sessions.
#[derive(Debug, Clone)]
pub(crate) struct SessionTerms {
    /// The time to live to request for the lease.
    pub(crate) ttl: Duration,
    /// The maximum time that the first session waits while another holder has the address.
    pub(crate) join_timeout: Duration,
    /// How long the user's runtime may be stalled before the session is fenced.
    pub(crate) max_stall: Duration,
    /// Where stalls are recorded.
    pub(crate) longest_stall: Arc<LongestStall>,
}
