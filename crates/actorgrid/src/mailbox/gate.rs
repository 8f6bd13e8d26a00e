//! The gate of a mailbox: it decides whether the mailbox admits requests.

use std::sync::Arc;

use super::stop::Stop;
use crate::session::Fence;
use crate::token::Token;

/// Decides whether a mailbox admits requests, and whether it still hands them out.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) stop: Arc<Stop>,
    pub(super) token: Token,
}

impl Gate {
    pub(super) fn admits(&self) -> bool {
        !self.stop.is_asked() && !self.is_closed()
    }

    /// Whether no more requests are handed out.
    pub(super) fn is_closed(&self) -> bool {
        self.stop.is_ended() || !self.fence().admits()
    }

    pub(super) fn fence(&self) -> &Arc<Fence> {
        self.stop.fence()
    }
}
