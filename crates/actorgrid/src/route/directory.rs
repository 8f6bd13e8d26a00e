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
    fn deliver(&self, incoming: Incoming) -> Result<(), Refused>;
}

/// Delivers a request, waiting while its receiver's registration is being decided.
pub(crate) async fn deliver(
    directory: &dyn Directory,
    receiver: &str,
    incoming: Incoming,
) -> Result<(), Refused> {
    let delivered = loop {
        match directory.resolve(receiver) {
            Resolved::Inbox(inbox) => break inbox.deliver(incoming),
            Resolved::Deciding(decided) => decided.cancelled().await,
            Resolved::Absent => break Err(incoming.refuse(RequestError::not_held(receiver))),
        }
    };
    if let Err(refused) = &delivered {
        directory.failed(refused.error.kind());
    }
    delivered
}

/// The answer that a delivered request is given.
pub(crate) async fn answered(
    directory: &dyn Directory,
    answer: oneshot::Receiver<Answer>,
) -> Answer {
    // The sender answers when it is dropped; an error here means that its runtime is gone.
    let answer = answer
        .await
        .unwrap_or_else(|_| Err(RequestError::no_reply("the receiver is gone")));
    if let Err(error) = &answer {
        directory.failed(error.kind());
    }
    answer
}
