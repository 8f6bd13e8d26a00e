//! Counts the requests that reach the inboxes of a peer.

use crate::counter::Counter;
use crate::environment::Deadline;
use crate::error::RequestErrorKind;

/// The counters of all inboxes of a peer, and of the requests that they admitted.
#[derive(Debug, Default)]
pub(crate) struct InboxCounters {
    /// Requests that were queued.
    pub(crate) admitted: Counter,
    pub(crate) not_held: Counter,
    pub(crate) closed: Counter,
    pub(crate) busy: Counter,
    pub(crate) unknown_message: Counter,
    /// Requests that could not be decoded, or were too large.
    pub(crate) invalid: Counter,
    /// Requests whose deadline passed while they were queued.
    pub(crate) expired: Counter,
    /// Requests whose requester stopped waiting while they were queued.
    pub(crate) abandoned: Counter,
    /// Requests that were handed out and dropped without an answer.
    pub(crate) unanswered: Counter,
    /// Requests that were answered with an error.
    pub(crate) failed: Counter,
}

impl InboxCounters {
    /// Counts a request that left the queue because nobody waited any more: as expired if its
    /// deadline has passed, else as abandoned.
    pub(super) fn left_queue(&self, deadline: Deadline) {
        let counter = match deadline.remaining().is_zero() {
            true => &self.expired,
            false => &self.abandoned,
        };
        counter.increment();
    }

    /// Counts a request that was rejected, or that ended with an error.
    pub(super) fn failed(&self, kind: RequestErrorKind) {
        let counter = match kind {
            RequestErrorKind::NotHeld => &self.not_held,
            RequestErrorKind::MailboxClosed => &self.closed,
            RequestErrorKind::Busy => &self.busy,
            RequestErrorKind::UnknownMessage => &self.unknown_message,
            RequestErrorKind::InvalidMessage | RequestErrorKind::MessageTooLarge => &self.invalid,
            RequestErrorKind::DeadlineExceeded => &self.expired,
            RequestErrorKind::NoReply => &self.unanswered,
            // An error of the application, or of the peer itself when it is asked to start or stop
            // an actor.
            _ => &self.failed,
        };
        counter.increment();
    }
}
