//! The outcome of a broadcast at one member.

use crate::error::RequestError;

/// The outcome of a broadcast's request to one member.
#[derive(Debug, Clone)]
pub enum Outcome<R> {
    /// The member's reply.
    Reply(R),
    /// There is no reply, because of this error.
    Failed(RequestError),
    /// Another member of a [`fastest`](crate::BroadcastBuilder::fastest) broadcast was faster.
    Cancelled {
        /// Whether the member may have executed the request. `false` is certain: it was not sent,
        /// or was withdrawn before it was handed out.
        may_have_executed: bool,
    },
}

impl<R> Outcome<R> {
    /// Returns the reply, if there is one.
    pub fn reply(&self) -> Option<&R> {
        match self {
            Self::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    /// Whether the member may have executed the request. `false` is certain.
    #[must_use]
    pub fn may_have_executed(&self) -> bool {
        match self {
            Self::Reply(_) => true,
            Self::Failed(error) => error.may_have_executed(),
            Self::Cancelled { may_have_executed } => *may_have_executed,
        }
    }
}
