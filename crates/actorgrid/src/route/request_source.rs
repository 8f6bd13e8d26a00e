//! The connection that brought a request, as the request sees it: its answer and its credit go
//! there.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::budget::Charge;
use super::caller::Caller;
use super::link::MAX_BODY_BYTES;
use super::slab::SlabKey;
use crate::environment::Deadline;
use crate::error::RequestError;
use crate::message::{AnyMessage, Body};

/// The answer to a request.
pub(crate) type Answer = Result<Body, RequestError>;

/// Names a request of a [`RequestSource`], with what its answer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestKey {
    /// The place that is taken while the request is unanswered.
    pub(super) place: SlabKey,
    pub(super) sequence: u64,
    pub(super) deadline: Deadline,
}

/// A connection whose requests are answered straight into its send buffer.
pub(super) trait RequestSource: Send + Sync {
    /// Answers a request with a reply of this length. Without a charge, the connection finds room
    /// for it.
    fn reply(
        &self,
        key: RequestKey,
        reply: Body,
        length: usize,
        charge: Option<Charge>,
    ) -> Result<(), NotReplied>;

    /// Answers a request with a small reply, which needs no box: see [`is_small`].
    fn reply_small(
        &self,
        key: RequestKey,
        reply: &dyn AnyMessage,
        length: usize,
    ) -> Result<(), NotRepliedSmall>;

    /// Answers a request with an error. Returns whether somebody waited for the answer.
    fn fail(&self, key: RequestKey, error: &RequestError) -> bool;

    /// Returns the other end.
    fn caller(&self) -> &Caller;

    /// Whether there was probably no room for a reply a moment ago.
    fn lacks_reply_room(&self) -> bool;

    /// Whether nobody waits for the answer any more.
    fn is_gone(&self, key: RequestKey) -> bool;

    /// Ready when nobody waits for the answer any more.
    fn poll_gone(&self, key: RequestKey, cx: &mut Context<'_>) -> Poll<()>;

    /// A request of so many bytes is queued no more.
    fn return_credit(&self, bytes: u32);
}

/// Why a reply was not sent.
#[derive(Debug)]
pub(super) enum NotReplied {
    /// Nobody waits for it any more.
    Gone(Body),
    /// There is no room for it. The requester has received an error instead.
    NoRoom(Body),
}

/// Why a small reply was not sent: see [`NotReplied`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotRepliedSmall {
    Gone,
    NoRoom,
}

impl NotRepliedSmall {
    pub(super) fn with(self, reply: Body) -> NotReplied {
        match self {
            Self::Gone => NotReplied::Gone(reply),
            Self::NoRoom => NotReplied::NoRoom(reply),
        }
    }
}

/// Whether a reply of this length is small: it is encoded at once, and sent in one piece.
pub(super) const fn is_small(length: usize) -> bool {
    length <= MAX_BODY_BYTES
}

/// A request of a [`RequestSource`] that is to be answered. It returns the credit of the request
/// when it is dropped, unless that was done before.
pub(super) struct SourceRequest {
    source: Arc<dyn RequestSource>,
    key: RequestKey,
    /// The bytes of credit that the request uses, until they are returned.
    credit: Option<u32>,
}

impl SourceRequest {
    /// A request that uses this many bytes of credit.
    pub(super) fn new(source: Arc<dyn RequestSource>, key: RequestKey, credit: u32) -> Self {
        Self {
            source,
            key,
            credit: Some(credit),
        }
    }

    /// Returns the credit of the request to its sender, if that was not done before.
    pub(super) fn return_credit(&mut self) {
        if let Some(bytes) = self.credit.take() {
            self.source.return_credit(bytes);
        }
    }

    pub(super) fn reply(
        &self,
        reply: Body,
        length: usize,
        charge: Option<Charge>,
    ) -> Result<(), NotReplied> {
        self.source.reply(self.key, reply, length, charge)
    }

    pub(super) fn reply_small(
        &self,
        reply: &dyn AnyMessage,
        length: usize,
    ) -> Result<(), NotRepliedSmall> {
        self.source.reply_small(self.key, reply, length)
    }

    pub(super) fn fail(&self, error: &RequestError) -> bool {
        self.source.fail(self.key, error)
    }

    pub(super) fn caller(&self) -> &Caller {
        self.source.caller()
    }

    pub(super) fn lacks_reply_room(&self) -> bool {
        self.source.lacks_reply_room()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.source.is_gone(self.key)
    }

    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.source.poll_gone(self.key, cx)
    }
}

impl Drop for SourceRequest {
    fn drop(&mut self) {
        self.return_credit();
    }
}

impl fmt::Debug for SourceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceRequest({:?})", self.key)
    }
}
