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
    /// Whether requests may be queued. Does not read the clock, which decides when a request is
    /// handed out.
    pub(super) fn admits(&self) -> bool {
        let stop = &self.stop;
        !stop.is_asked() && !stop.is_ended() && !stop.fence().is_fenced()
    }

    /// Whether no more requests are handed out. The clock decides: the process may have been
    /// stopped for longer than its session lasts.
    pub(super) fn is_closed(&self) -> bool {
        self.stop.is_ended() || !self.fence().admits()
    }

    pub(super) fn fence(&self) -> &Arc<Fence> {
        self.stop.fence()
    }
}
