//! The name of the leader.

/// The name and the type of the leader.
pub(in crate::server) const LEADER: &str = "leader";
