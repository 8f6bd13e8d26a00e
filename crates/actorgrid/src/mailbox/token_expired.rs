//! Why a token has expired.

use std::fmt;

use crate::session::FenceReason;

/// Why an actor or a mailbox no longer has a valid token: the work of its holder no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenExpired {
    /// The peer is fenced, for this reason.
    Fenced(FenceReason),
    /// The actor, or the owner of the mailbox, has ended. Its name may already have another holder.
    Ended,
}

impl fmt::Display for TokenExpired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced(reason) => {
                write!(f, "the token has expired: the peer is fenced ({reason})")
            }
            Self::Ended => f.write_str("the token has expired: its holder has ended"),
        }
    }
}

impl std::error::Error for TokenExpired {}
