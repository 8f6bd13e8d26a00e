//! Requests as a mailbox hands them out.

use std::fmt;
use std::marker::PhantomData;

use crate::environment::Deadline;
use crate::error::{BoxError, Executed, RequestError, RequestErrorKind};
use crate::message::{Body, Message, Payload};
use crate::route::{Caller, Incoming, Pending, RequestId};
use crate::token::Token;

/// The messages that a mailbox takes.
///
/// [`Request<M>`] is the set of one message; `#[derive(MessageSet)]` makes a set of several from
/// an enum whose variants hold one set each. A message that is not in the set is refused at the
/// door; so is one whose bytes cannot be read. A set that holds a [`Payload`] takes what no
/// variant before it takes.
///
/// ```
/// use actorgrid::{EchoMsg, Message, MessageSet, Payload, Request};
///
/// #[derive(MessageSet)]
/// enum Work {
///     Echo(Request<EchoMsg>),
///     Other(Request<Payload>),
/// }
///
/// assert_eq!(Work::WIRE_NAMES, [EchoMsg::WIRE_NAME, ""]);
/// assert!(Work::accepts("shop/Job"));
/// ```
pub trait MessageSet: Send + Sized + 'static {
    /// The wire names of the messages in the set; empty texts stand for a [`Payload`].
    const WIRE_NAMES: &'static [&'static str];

    /// Whether a message of this wire name is in the set.
    #[must_use]
    fn accepts(wire_name: &str) -> bool;

    /// Reads a request whose wire name is accepted. `None`: it could not be read, and the requester
    /// has been told so.
    fn receive(incoming: Incoming) -> Option<Self>;

    /// The answer that is owed.
    #[doc(hidden)]
    fn pending(&mut self) -> &mut Pending;
}

/// A message that wants an answer, once: by [`respond`](Self::respond) with the message's reply
/// type, or by [`fail`](Self::fail). Dropped without one, the requester is told at once.
pub struct Request<M: Message> {
    message: M,
    responder: Responder<M::Reply>,
}

impl<M: Message> Request<M> {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &M {
        &self.message
    }

    /// Answers. (With an [`Ack`](crate::Ack), where the message declares no reply: `Ack` in Go.)
    ///
    /// # Errors
    ///
    /// As [`Responder::respond`].
    #[doc(alias("Ack", "Respond"))]
    pub fn respond(self, reply: M::Reply) -> Result<(), RespondError> {
        self.responder.respond(reply)
    }

    /// Answers with an error, which is an answer too: nobody repeats the request for it.
    ///
    /// # Errors
    ///
    /// As [`Responder::respond`].
    pub fn fail(self, error: impl Into<BoxError>) -> Result<(), RespondError> {
        self.responder.fail(error)
    }

    /// The message by value, and the responder, which may move to another task.
    #[must_use]
    pub fn into_parts(self) -> (M, Responder<M::Reply>) {
        (self.message, self.responder)
    }

    /// The responder.
    #[must_use]
    pub fn responder(&self) -> &Responder<M::Reply> {
        &self.responder
    }

    /// Ends when nobody waits for the answer any more: see [`Responder::abandoned`].
    pub async fn abandoned(&mut self) {
        self.responder.abandoned().await;
    }
}

impl<M: Message> std::ops::Deref for Request<M> {
    type Target = Responder<M::Reply>;

    fn deref(&self) -> &Self::Target {
        &self.responder
    }
}

impl<M: Message> fmt::Debug for Request<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.responder.id())
            .field("message", &self.message.wire_name())
            .finish_non_exhaustive()
    }
}

impl<M: Message> MessageSet for Request<M> {
    const WIRE_NAMES: &'static [&'static str] = &[M::WIRE_NAME];

    fn accepts(wire_name: &str) -> bool {
        M::accepts(wire_name)
    }

    fn receive(incoming: Incoming) -> Option<Self> {
        let (message, pending) = incoming.read()?;
        Some(Self {
            message,
            responder: Responder {
                pending,
                reply: PhantomData,
            },
        })
    }

    fn pending(&mut self) -> &mut Pending {
        &mut self.responder.pending
    }
}

/// Where the answer to one request goes. Dropped without one, the requester is told at once
/// ([`RequestErrorKind::NoReply`]).
pub struct Responder<R: Message> {
    pending: Pending,
    reply: PhantomData<fn(R)>,
}

impl<R: Message> Responder<R> {
    /// Answers.
    ///
    /// # Errors
    ///
    /// [`RespondError`]: the requester does not get this answer, and why. Where it still waits it
    /// is told ([`RequestErrorKind::NoReply`], [`RequestErrorKind::ReplyTooLarge`]).
    pub fn respond(self, reply: R) -> Result<(), RespondError> {
        let length = reply.encoded_len();
        let limit = self.pending.max_reply_bytes();
        if length > limit {
            let text = format!("the reply has {length} bytes and the limit is {limit}");
            let error = RequestError::new(RequestErrorKind::ReplyTooLarge, Executed::Yes, text);
            self.answer(Err(error))?;
            return Err(RespondError::TooLarge { length, limit });
        }
        self.answer(Ok(Body::value(reply)))
    }

    /// Answers with an error, which is an answer too: nobody repeats the request for it. The
    /// requester sees its text, with [`RequestErrorKind::Application`].
    ///
    /// # Errors
    ///
    /// As [`respond`](Self::respond).
    pub fn fail(self, error: impl Into<BoxError>) -> Result<(), RespondError> {
        self.answer(Err(application(error.into())))
    }

    /// [`fail`](Self::fail) with a message that the requester can read: see
    /// [`RequestError::detail`].
    ///
    /// # Errors
    ///
    /// As [`respond`](Self::respond). A detail over 8 KiB, its wire name included, is too large: it travels in a header.
    pub fn fail_with<D: Message>(
        self,
        error: impl Into<BoxError>,
        detail: &D,
    ) -> Result<(), RespondError> {
        let length = detail.wire_name().len() + detail.encoded_len();
        let error = application(error.into());
        if length > MAX_DETAIL_BYTES {
            self.answer(Err(error))?;
            return Err(RespondError::TooLarge {
                length,
                limit: MAX_DETAIL_BYTES,
            });
        }
        self.answer(Err(error.with_detail(Payload::of(detail))))
    }

    /// Answers with an error of the grid itself.
    pub(crate) fn refuse(self, error: RequestError) -> Result<(), RespondError> {
        self.answer(Err(error))
    }

    fn answer(self, answer: Result<Body, RequestError>) -> Result<(), RespondError> {
        if self.pending.is_fenced() {
            return Err(RespondError::Fenced);
        }
        self.pending
            .answer(answer)
            .map_err(|_| RespondError::RequesterGone)
    }

    /// The request's identity; repeats of one request share it.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.pending.meta().id
    }

    /// The time by which the requester wants the answer.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.pending.meta().deadline
    }

    /// The registration that the requester expected to reach; none from a client of the Go
    /// library, or when the request did not leave the process.
    #[must_use]
    pub fn expected_token(&self) -> Option<Token> {
        self.pending.meta().token
    }

    /// Who sent the request, as far as its connection shows it.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.pending.meta().caller
    }

    /// The value of a header of the request.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.pending.meta().headers.get(name)
    }

    /// The headers of the request.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pending.meta().headers.iter()
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.pending.is_abandoned()
    }

    /// Ends when nobody waits for the answer any more: the requester has gone, or the deadline has
    /// passed. Cancel safe.
    pub async fn abandoned(&mut self) {
        self.pending.abandoned().await;
    }
}

impl<R: Message> fmt::Debug for Responder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// The largest message that can go with an error: it travels in a header.
const MAX_DETAIL_BYTES: usize = 8 * 1024;

fn application(error: BoxError) -> RequestError {
    RequestError::new(
        RequestErrorKind::Application,
        Executed::Yes,
        error.to_string(),
    )
}

/// Why a requester does not get an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RespondError {
    /// The peer is fenced: its actors may have been replaced, so their answers do not count.
    Fenced,
    /// Nobody waits for the answer any more.
    RequesterGone,
    /// The reply, or the detail of an error, is larger than its limit; both in bytes.
    TooLarge {
        /// The bytes that it has.
        length: usize,
        /// The bytes that it may have.
        limit: usize,
    },
}

impl fmt::Display for RespondError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced => f.write_str("the peer is fenced, so the answer does not count"),
            Self::RequesterGone => f.write_str("nobody waits for the answer any more"),
            Self::TooLarge { length, limit } => {
                write!(f, "the answer has {length} bytes and the limit is {limit}")
            }
        }
    }
}

impl std::error::Error for RespondError {}

#[cfg(test)]
mod tests;
