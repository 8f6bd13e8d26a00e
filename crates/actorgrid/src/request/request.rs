//! A message that expects an answer.

use std::fmt;

use super::failure::Failure;
use super::message_set::MessageSet;
use super::respond_error::RespondError;
use super::responder::Responder;
use crate::environment::Deadline;
use crate::message::{Message, Payload};
use crate::route::{Caller, Incoming, Pending, RequestId};
use crate::token::Token;

/// A message that expects exactly one answer: [`respond`](Self::respond) with the message's reply
/// type, or [`fail`](Self::fail). If it is dropped without an answer, the requester gets
/// [`NoReply`](crate::RequestErrorKind::NoReply) at once.
pub struct Request<M: Message> {
    message: M,
    responder: Responder<M::Reply>,
}

impl<M: Message> Request<M> {
    /// Returns the message.
    #[must_use]
    pub fn message(&self) -> &M {
        &self.message
    }

    /// Answers with a reply, which is an [`Ack`](crate::Ack) if the message declares no reply type
    /// (`Ack` in Go).
    ///
    /// # Errors
    ///
    /// Same as [`Responder::respond`].
    #[doc(alias("Ack", "Respond"))]
    pub fn respond(self, reply: M::Reply) -> Result<(), RespondError<M::Reply>> {
        self.responder.respond(reply)
    }

    /// Answers with an error: a text, any error, or a [`Failure`], which can also have a code and a
    /// detail. An error is an answer, so the library does not retry the request because of it.
    ///
    /// # Errors
    ///
    /// Same as [`Responder::fail`].
    pub fn fail(self, failure: impl Into<Failure>) -> Result<(), RespondError<M::Reply>> {
        self.responder.fail(failure)
    }

    /// Splits the request into the message by value and the responder, which may move to another
    /// task.
    #[must_use]
    pub fn into_parts(self) -> (M, Responder<M::Reply>) {
        (self.message, self.responder)
    }

    /// Returns the responder.
    #[must_use]
    pub fn responder(&self) -> &Responder<M::Reply> {
        &self.responder
    }

    /// Returns the request's id; retries of one request share it.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.responder.id()
    }

    /// Returns the time by which the requester wants the answer.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.responder.deadline()
    }

    /// Returns the registration that the requester expected to reach: see
    /// [`Responder::expected_token`].
    #[must_use]
    pub fn expected_token(&self) -> Option<Token> {
        self.responder.expected_token()
    }

    /// Returns who sent the request, as far as its connection shows it.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.responder.caller()
    }

    /// Returns the value of a header of the request.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.responder.header(name)
    }

    /// Returns the headers of the request.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.responder.headers()
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.responder.is_abandoned()
    }

    /// Waits until nobody waits for the answer any more: see [`Responder::abandoned`].
    pub async fn abandoned(&mut self) {
        self.responder.abandoned().await;
    }
}

impl<M: Message> fmt::Debug for Request<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id())
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
        let responder = Responder::new(pending);
        Some(Self { message, responder })
    }

    fn wire_name(&self) -> &str {
        self.message.wire_name()
    }

    fn into_responder(self) -> Responder<Payload> {
        self.responder.untyped()
    }

    fn pending(&mut self) -> &mut Pending {
        self.responder.pending()
    }
}
