//! The messages that a mailbox accepts.

use super::failure::Failure;
use super::respond_error::RespondError;
use super::responder::Responder;
use crate::message::Payload;
use crate::route::{Incoming, Pending};

/// The messages that a mailbox accepts.
///
/// [`Request<M>`](crate::Request) is the set of one message; `#[derive(MessageSet)]` makes a set of
/// several from an enum whose variants hold one set each. A message that is not in the set is
/// rejected before it is queued. A message whose bytes cannot be decoded is answered with
/// [`InvalidMessage`](crate::RequestErrorKind::InvalidMessage) when its turn comes, and is not
/// handed out. A set that holds a [`Payload`] accepts every message that no variant before it
/// accepts.
///
/// Some operations need no match on the variants, because all messages of a set have them: the
/// [wire name](Self::wire_name), [failing](Self::fail) the request, and a
/// [responder](Self::into_responder) that accepts any reply.
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
///
/// fn refuse(work: Work) {
///     let text = format!("{} is not done on Sundays", work.wire_name());
///     if let Err(error) = work.fail(text) {
///         println!("{error}");
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of messages that a mailbox can take",
    label = "write `Request<{Self}>` if this is a message",
    note = "a mailbox of one message takes `Request<M>`, one of several an enum with \
            `#[derive(MessageSet)]` whose variants hold a `Request` each"
)]
pub trait MessageSet: Send + Sized + 'static {
    /// The wire names of the messages in the set; the name of a [`Payload`] is the empty text.
    const WIRE_NAMES: &'static [&'static str];

    /// Whether a message with this wire name is in the set.
    #[must_use]
    fn accepts(wire_name: &str) -> bool;

    /// Decodes a request whose wire name was accepted, in the task that calls
    /// [`Mailbox::recv`](crate::Mailbox::recv). Returns `None` if it could not be decoded; in that
    /// case the requester has already received the error.
    fn receive(incoming: Incoming) -> Option<Self>;

    /// Returns the wire name of the received message.
    fn wire_name(&self) -> &str;

    /// Returns the request's responder, for a reply whose type follows from the wire name. If the
    /// reply has another type than the message declares, the requester gets
    /// [`UnexpectedReply`](crate::RequestErrorKind::UnexpectedReply).
    fn into_responder(self) -> Responder<Payload>;

    /// Answers the request with an error, like [`Request::fail`](crate::Request::fail).
    ///
    /// # Errors
    ///
    /// Same as [`Responder::fail`].
    fn fail(self, failure: impl Into<Failure>) -> Result<(), RespondError<Payload>> {
        self.into_responder().fail(failure)
    }

    /// Returns the answer that is owed.
    #[doc(hidden)]
    fn pending(&mut self) -> &mut Pending;
}
