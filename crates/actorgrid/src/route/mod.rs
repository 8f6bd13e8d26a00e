//! How requests travel: one trait, a route for each way.
//!
//! A route takes a [`Call`] to the door of a mailbox and brings its answer back. All routes have
//! the same semantics and the same errors. What a route finds at the other end it knows as a
//! [`Directory`] of [`Inbox`]es.

#[cfg(test)]
mod conformance;
mod headers;
mod local;
mod pending;
pub(crate) mod process;

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{Body, Payload};
use crate::name::Name;
use crate::token::Token;

pub(crate) use headers::Headers;
pub use headers::{MAX_HEADER_BYTES, MAX_HEADERS};
pub(crate) use local::LocalRoute;
pub use pending::Incoming;
pub use pending::Pending;

/// The largest message that is sent and taken, each way, by default: what the Go library takes.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// What goes with each request.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// Unique among the requests of all clients; repeats of one request share it.
    pub(crate) id: RequestId,
    pub(crate) deadline: Deadline,
    /// The registration that the client expects to reach; none from a Go client.
    pub(crate) token: Option<Token>,
    pub(crate) headers: Headers,
}

/// The identity of a request: one half drawn by its client once, one half counted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u128);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One request on its way.
pub(crate) struct Call {
    pub(crate) receiver: Name,
    pub(crate) meta: Meta,
    /// The message. A route that hands it over takes it, and puts it back when it is refused.
    pub(crate) body: Option<Body>,
    /// Keep the message when it is handed over by value: the call may be repeated even then.
    pub(crate) keep: bool,
    /// Whether the receiver may have executed the request by now. A route sets it before it hands
    /// the message over, so that a caller that stops waiting knows.
    pub(crate) executed: Executed,
}

impl Call {
    /// The message for a route that moves it.
    fn take_body(&mut self) -> Option<Body> {
        if self.keep
            && let Some(body) = &self.body
        {
            let copy = Payload::new(body.wire_name().to_owned(), body.encode());
            return self.body.replace(Body::Encoded(copy));
        }
        self.body.take()
    }
}

/// A way to the peer that holds a mailbox.
pub(crate) trait Route {
    /// Brings the call to its receiver and the answer back. The caller bounds the time; dropping
    /// the future tells the receiver that nobody waits any more.
    fn call(&self, call: &mut Call) -> impl Future<Output = Result<Body, RequestError>> + Send;
}

/// The mailboxes of a peer.
pub(crate) trait Directory: Send + Sync + 'static {
    fn find(&self, name: &str) -> Door;

    /// Hears of a request that was refused, or ended with an error, to count it.
    fn failed(&self, _kind: RequestErrorKind) {}
}

/// What stands behind a name.
pub(crate) enum Door {
    Open(Arc<dyn Inbox>),
    /// The name's registration is being decided; look again when this is cancelled.
    Deciding(CancellationToken),
    Absent,
}

/// The receiving end of a mailbox.
pub(crate) trait Inbox: Send + Sync {
    /// Queues the request, or says at once why not. Does not wait.
    fn deliver(&self, incoming: Incoming) -> Result<(), Refused>;
}

/// Whether a peer serves, as it changes: while it does, who is asked before each answer.
pub(crate) type Serving = watch::Receiver<Option<Arc<dyn Admission>>>;

/// Who may admit nothing more before anybody has noticed it.
pub(crate) trait Admission: Send + Sync + 'static {
    /// Whether requests are admitted at this moment. Does not block.
    fn admits(&self) -> bool;
}

/// A request that a mailbox did not take. Nothing was executed.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: RequestError,
    /// The message, where it was not used up.
    pub(crate) body: Option<Body>,
}

/// The answer to a request: see [`Incoming::new`].
pub(crate) type Answer = Result<Body, RequestError>;

/// Delivers a request, waiting while its receiver's registration is being decided.
pub(crate) async fn deliver(
    directory: &dyn Directory,
    receiver: &str,
    incoming: Incoming,
) -> Result<(), Refused> {
    let delivered = loop {
        match directory.find(receiver) {
            Door::Open(inbox) => break inbox.deliver(incoming),
            Door::Deciding(decided) => decided.cancelled().await,
            Door::Absent => break Err(incoming.refuse(RequestError::not_held(receiver))),
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
