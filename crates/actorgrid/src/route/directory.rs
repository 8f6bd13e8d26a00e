//! The far end of a route: the inboxes of a peer, by name.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::incoming::{Incoming, Refused};
use crate::error::{RequestError, RequestErrorKind};

/// The mailboxes of a peer.
pub(crate) trait Directory: Send + Sync + 'static {
    fn resolve(&self, name: &str) -> Resolved;

    /// Counts a request that was refused, or ended with an error.
    fn failed(&self, _kind: RequestErrorKind) {}
}

/// The result of looking a name up.
pub(crate) enum Resolved {
    Inbox(Arc<dyn Inbox>),
    /// The name's registration is being decided; resolve it again when this is cancelled.
    Deciding(CancellationToken),
    Absent,
}

/// The receiving end of a mailbox.
pub(crate) trait Inbox: Send + Sync {
    /// Queues the request, or says at once why not. Does not wait.
    fn deliver(&self, incoming: Incoming) -> Result<QueuePlace, Refused>;

    /// Drops a request that nobody waits for any more, if it is still queued. Does not panic, even
    /// if the message does when it is dropped.
    fn withdraw(&self, place: QueuePlace);

    /// Whether a request would find no room at this moment. Another one may take or leave the last
    /// place before the answer is used. For a route that can answer before a message has arrived.
    fn is_full(&self) -> bool;
}

/// The place of one request in the queue of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueuePlace {
    pub(crate) index: u32,
    /// The request's own, so that one that takes the same place later is not mistaken for it.
    pub(crate) generation: u64,
}

/// A request that was delivered. Dropped before its [answer](answered) has come, it leaves the
/// queue and is forgotten.
pub(crate) struct Queued {
    /// None: it is answered.
    inbox: Option<Arc<dyn Inbox>>,
    place: QueuePlace,
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(inbox) = &self.inbox {
            inbox.withdraw(self.place);
        }
    }
}

/// Delivers a request, waiting while its receiver's registration is being decided.
pub(crate) async fn deliver(
    directory: &dyn Directory,
    receiver: &str,
    incoming: Incoming,
) -> Result<Queued, Refused> {
    let delivered = loop {
        match directory.resolve(receiver) {
            Resolved::Inbox(inbox) => {
                break inbox.deliver(incoming).map(|place| Queued {
                    inbox: Some(inbox),
                    place,
                });
            }
            Resolved::Deciding(decided) => decided.cancelled().await,
            Resolved::Absent => break Err(incoming.refuse(RequestError::not_held(receiver))),
        }
    };
    if let Err(refused) = &delivered {
        directory.failed(refused.error.kind());
    }
    delivered
}

/// Whether a request to this receiver would find its mailbox full at this moment.
pub(crate) fn is_busy(directory: &dyn Directory, receiver: &str) -> bool {
    match directory.resolve(receiver) {
        Resolved::Inbox(inbox) => inbox.is_full(),
        Resolved::Deciding(_) | Resolved::Absent => false,
    }
}

/// Waits for the answer to a delivered request.
///
/// # Cancel safety
///
/// Dropped, it withdraws the request.
pub(crate) async fn answered(
    directory: &dyn Directory,
    mut queued: Queued,
    answer: oneshot::Receiver<Answer>,
) -> Answer {
    // The sender answers when it is dropped; an error here means that its runtime is gone.
    let answer = answer
        .await
        .unwrap_or_else(|_| Err(RequestError::no_reply("the receiver is gone")));
    queued.inbox = None;
    if let Err(error) = &answer {
        directory.failed(error.kind());
    }
    answer
}
