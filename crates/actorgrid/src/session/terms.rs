//! The settings of a peer that apply to its sessions.

use std::sync::Arc;
use std::time::Duration;

use super::longest_stall::LongestStall;

/// The settings of a peer that apply to each of its sessions.
#[derive(Debug, Clone)]
pub(crate) struct SessionTerms {
    /// The time to live that the registry is asked for.
    pub(crate) ttl: Duration,
    /// How long the first session waits for the address at most.
    pub(crate) join_timeout: Duration,
    /// The session is fenced once the user's runtime has been stalled for this long.
    pub(crate) max_stall: Duration,
    /// Where stalls are recorded.
    pub(crate) longest_stall: Arc<LongestStall>,
}
