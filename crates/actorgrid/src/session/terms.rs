//! The settings of a peer that apply to its sessions.

use std::sync::Arc;
use std::time::Duration;

use super::longest_stall::LongestStall;

/// The number of names that each lease of a session carries. etcd deletes the keys of a lease that
/// ends in one step, during which it answers nobody: a thousand keys take 10 to 25 ms on a busy
/// machine.
pub(crate) const NAMES_PER_LEASE: usize = 1_000;

/// The settings of a peer that apply to each of its sessions.
#[derive(Debug, Clone)]
pub(crate) struct SessionTerms {
    /// The time to live to request for each lease.
    pub(crate) ttl: Duration,
    /// The number of names that each lease carries.
    pub(crate) names_per_lease: usize,
    /// The maximum time that the first session waits while another holder has the address.
    pub(crate) join_timeout: Duration,
    /// How long the user's runtime may be stalled before the session is fenced.
    pub(crate) max_stall: Duration,
    /// Where stalls are recorded.
    pub(crate) longest_stall: Arc<LongestStall>,
}
