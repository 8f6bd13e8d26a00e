//! The far end of a route: the inboxes of a peer, by name.

use std::sync::Arc;

use super::answer::{AnswerReader, ChargedAnswer};
use super::incoming::{Incoming, Refused};
use super::request_source::Answer;
use crate::error::{Executed, RequestError, RequestErrorKind};

/// The mailboxes of a peer.
pub(crate) trait Directory: Send + Sync + 'static {
    fn resolve(&self, name: &str) -> Resolved;

    /// Counts a request that was rejected, or that ended with an error.
    fn failed(&self, _kind: RequestErrorKind) {}
}

/// The result of resolving a name.
pub(crate) enum Resolved {
    /// The inbox of the mailbox, or of the name while its registration is being decided.
    Inbox(Arc<dyn Inbox>),
    Absent,
}

/// The receiving end of a mailbox.
pub(crate) trait Inbox: Send + Sync {
    /// Queues the request, or fails at once. Does not wait.
    fn deliver(&self, incoming: Incoming) -> Result<QueuePlace, NotDelivered>;

    /// Drops a request that nobody waits for any more, if it is still queued. Returns whether it
    /// was queued: then it was certainly not executed. Does not panic, even if the message does
    /// when it is dropped.
    fn withdraw(&self, place: QueuePlace) -> bool;

    /// Whether a request would find no room at the moment. Another request may take or leave the
    /// last place before the result is used. For a route that can answer before a message has
    /// arrived.
    fn is_full(&self) -> bool;
}

/// A request that an inbox did not queue.
#[derive(Debug)]
pub(crate) enum NotDelivered {
    Refused(Refused),
    /// The name was decided a moment ago: resolve it again.
    Moved(Box<Incoming>),
}

impl From<Refused> for NotDelivered {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// The place of one request in the queue of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueuePlace {
    pub(crate) index: u32,
    /// Unique to the request, so that a later request at the same place is not mistaken for it.
    pub(crate) generation: u64,
}

/// A delivered request. Dropping it before its [answer](answered) has arrived withdraws the request
/// from the queue.
pub(crate) struct Queued {
    /// `None` once the request is answered or withdrawn.
    inbox: Option<Arc<dyn Inbox>>,
    place: QueuePlace,
}

impl Queued {
    /// The request is answered: it need not be withdrawn.
    pub(super) fn release(mut self) {
        self.answered();
    }

    /// The same, in its place.
    pub(super) fn answered(&mut self) {
        self.inbox = None;
    }

    /// Withdraws the request unless it is answered. Returns whether it was still queued.
    pub(super) fn withdraw(&mut self) -> Option<bool> {
        let inbox = self.inbox.take()?;
        Some(inbox.withdraw(self.place))
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// A request whose answer is awaited. Dropping this before the answer was read withdraws the
/// request, and determines whether it was executed.
struct Awaited<'a> {
    directory: &'a dyn Directory,
    queued: Queued,
    answer: AnswerReader,
    executed: &'a mut Executed,
}

impl Awaited<'_> {
    /// Records an answer.
    fn note(&mut self, answer: &Answer) {
        *self.executed = match answer {
            Ok(_) => Executed::Yes,
            Err(error) => {
                self.directory.failed(error.kind());
                error.executed()
            }
        };
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        match self.queued.withdraw() {
            None => {}
            Some(true) => *self.executed = Executed::No,
            // The request has left the queue. Its answer may have arrived unnoticed.
            Some(false) => {
                self.answer.close();
                if let Ok(answer) = self.answer.try_read() {
                    self.note(&answer);
                }
            }
        }
    }
}

/// Delivers a request. Does not wait, so that requests arrive in the order in which they are
/// delivered, even while their receiver's registration is being decided.
pub(crate) fn deliver(
    directory: &dyn Directory,
    receiver: &str,
    incoming: Incoming,
) -> Result<Queued, Refused> {
    deliver_to(directory, directory.resolve(receiver), receiver, incoming)
}

/// The same, where the receiver was resolved a moment ago.
pub(super) fn deliver_to(
    directory: &dyn Directory,
    mut resolved: Resolved,
    receiver: &str,
    mut incoming: Incoming,
) -> Result<Queued, Refused> {
    let delivered = loop {
        let Resolved::Inbox(inbox) = resolved else {
            break Err(incoming.refuse(RequestError::not_held(receiver)));
        };
        match inbox.deliver(incoming) {
            Ok(place) => {
                let inbox = Some(inbox);
                break Ok(Queued { inbox, place });
            }
            Err(NotDelivered::Refused(refused)) => break Err(refused),
            // The name no longer leads to that inbox, so this loop ends.
            Err(NotDelivered::Moved(again)) => incoming = *again,
        }
        resolved = directory.resolve(receiver);
    };
    if let Err(refused) = &delivered {
        directory.failed(refused.error.kind());
    }
    delivered
}

/// Whether a request to this receiver would find its mailbox full at the moment.
pub(crate) fn is_busy(directory: &dyn Directory, receiver: &str) -> bool {
    match directory.resolve(receiver) {
        Resolved::Inbox(inbox) => inbox.is_full(),
        Resolved::Absent => false,
    }
}

/// Waits for the answer to a delivered request. `executed` always reflects whether the receiver may
/// have executed it by now.
///
/// # Cancel safety
///
/// Dropping the future withdraws the request: if it was still queued, it was not executed.
pub(crate) async fn answered(
    directory: &dyn Directory,
    queued: Queued,
    answer: AnswerReader,
    executed: &mut Executed,
) -> ChargedAnswer {
    *executed = Executed::Maybe;
    let mut awaited = Awaited {
        directory,
        queued,
        answer,
        executed,
    };
    // A dropped sender answers, so an error here means that its runtime is gone.
    let charged = awaited.answer.read().await;
    let charged = charged.unwrap_or_else(|_| ChargedAnswer {
        answer: Err(RequestError::no_reply("the receiver is gone")),
        charge: None,
        returned: None,
    });
    awaited.queued.answered();
    awaited.note(&charged.answer);
    charged
}
