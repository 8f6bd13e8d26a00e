//! Counts the requests that reach the inboxes of a peer.

use crate::counter::Counter;
use crate::environment::Deadline;
use crate::error::RequestErrorKind;

/// The counters of all inboxes of a peer, and of the requests that they admit.
#[derive(Debug, Default)]
pub(crate) struct InboxCounters {
    /// Queued.
    pub(crate) admitted: Counter,
    pub(crate) not_held: Counter,
    pub(crate) closed: Counter,
    pub(crate) busy: Counter,
    pub(crate) unknown_message: Counter,
    /// Cannot be read, or is too large.
    pub(crate) invalid: Counter,
    /// Its deadline passed while it was queued.
    pub(crate) expired: Counter,
    /// Its requester stopped waiting while it was queued.
    pub(crate) abandoned: Counter,
    /// Dropped without an answer after it was handed out.
    pub(crate) unanswered: Counter,
    /// Answered with an error.
    pub(crate) failed: Counter,
}

impl InboxCounters {
    /// Counts a request that left the queue after its requester: its deadline had passed, or it was
    /// abandoned before.
    pub(super) fn left_queue(&self, deadline: Deadline) {
        let counter = match deadline.remaining().is_zero() {
            true => &self.expired,
            false => &self.abandoned,
        };
        counter.increment();
    }

    /// Counts a request that was refused, or ended with an error.
    pub(super) fn failed(&self, kind: RequestErrorKind) {
        let counter = match kind {
            RequestErrorKind::NotHeld => &self.not_held,
            RequestErrorKind::MailboxClosed => &self.closed,
            RequestErrorKind::Busy => &self.busy,
            RequestErrorKind::UnknownMessage => &self.unknown_message,
            RequestErrorKind::InvalidMessage | RequestErrorKind::MessageTooLarge => &self.invalid,
            RequestErrorKind::DeadlineExceeded => &self.expired,
            RequestErrorKind::NoReply => &self.unanswered,
            // The application's, or the peer's own when it is asked to start or stop an actor.
            _ => &self.failed,
        };
        counter.increment();
    }
}
