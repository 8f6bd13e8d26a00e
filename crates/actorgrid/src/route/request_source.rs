//! The connection that brought a request, as the request sees it: its answer and its credit go
//! there.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::budget::Charge;
use super::slab::SlabKey;
use crate::error::RequestError;
use crate::message::Body;

/// The answer to a request.
pub(crate) type Answer = Result<Body, RequestError>;

/// A connection whose requests are answered straight into its send buffer.
pub(super) trait RequestSource: Send + Sync {
    /// Answers a request. Gives the answer back if nobody waits for it any more.
    fn answer(&self, key: SlabKey, answer: Answer, charge: Option<Charge>) -> Result<(), Answer>;

    /// Whether nobody waits for the answer any more.
    fn is_gone(&self, key: SlabKey) -> bool;

    /// Ready when nobody waits for the answer any more.
    fn poll_gone(&self, key: SlabKey, cx: &mut Context<'_>) -> Poll<()>;

    /// A request of so many bytes is queued no more.
    fn return_credit(&self, bytes: usize);
}

/// The credit that a queued request uses. Dropped, it goes back to its sender.
pub(super) struct RequestCredit {
    source: Arc<dyn RequestSource>,
    bytes: usize,
}

impl RequestCredit {
    pub(super) fn new(source: Arc<dyn RequestSource>, bytes: usize) -> Self {
        Self { source, bytes }
    }
}

impl Drop for RequestCredit {
    fn drop(&mut self) {
        self.source.return_credit(self.bytes);
    }
}

impl fmt::Debug for RequestCredit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestCredit({} bytes)", self.bytes)
    }
}
