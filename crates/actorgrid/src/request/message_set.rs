//! The messages that a mailbox takes.

use super::failure::Failure;
use super::respond_error::RespondError;
use super::responder::Responder;
use crate::message::Payload;
use crate::route::{Incoming, Pending};

/// The messages that a mailbox takes.
///
/// [`Request<M>`](crate::Request) is the set of one message; `#[derive(MessageSet)]` makes a set of
/// several from an enum whose variants hold one set each. A message that is not in the set is
/// refused before it is queued. One whose bytes cannot be read is answered with
/// [`InvalidMessage`](crate::RequestErrorKind::InvalidMessage) when its turn comes, and is not
/// handed out. A set that holds a [`Payload`] takes what no variant before it takes.
///
/// No match on its variants is needed for the things that all messages of a set have: the
/// [wire name](Self::wire_name), [failing](Self::fail) the request, and a
/// [responder](Self::into_responder) that takes any reply.
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
    /// The wire names of the messages in the set; an empty text is the name of a [`Payload`].
    const WIRE_NAMES: &'static [&'static str];

    /// Whether a message of this wire name is in the set.
    #[must_use]
    fn accepts(wire_name: &str) -> bool;

    /// Reads a request whose wire name is accepted, in the task that calls
    /// [`Mailbox::recv`](crate::Mailbox::recv). `None`: it could not be read, and the requester has
    /// got the error.
    fn receive(incoming: Incoming) -> Option<Self>;

    /// The wire name of the message that was received.
    fn wire_name(&self) -> &str;

    /// The responder of the request, for an answer whose type follows from the wire name. A reply
    /// of another type than the message declares is
    /// [`UnexpectedReply`](crate::RequestErrorKind::UnexpectedReply) at the requester.
    fn into_responder(self) -> Responder<Payload>;

    /// Answers the request with an error, as [`Request::fail`](crate::Request::fail) does.
    ///
    /// # Errors
    ///
    /// As [`Responder::fail`].
    fn fail(self, failure: impl Into<Failure>) -> Result<(), RespondError<Payload>> {
        self.into_responder().fail(failure)
    }

    /// The answer that is owed.
    #[doc(hidden)]
    fn pending(&mut self) -> &mut Pending;
}
