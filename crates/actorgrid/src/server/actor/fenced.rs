//! The error of an actor whose peer is fenced.

use std::fmt;

use crate::session::FenceReason;

/// The peer is fenced: what the actor does from now on does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced {
    /// Why.
    pub reason: FenceReason,
}

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer is fenced ({})", self.reason)
    }
}

impl std::error::Error for Fenced {}
