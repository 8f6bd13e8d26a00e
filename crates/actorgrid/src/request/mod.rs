//! Requests as a mailbox hands them out: receiving and answering them.
//!
//! [`MessageSet`] decodes a request for a mailbox. [`Request`] holds the message and its
//! [`Responder`], which sends the answer that is owed: a reply or a [`Failure`]. [`RespondError`]
//! reports why an answer does not reach its requester, and returns the unsent reply.

mod failure;
mod message_set;
mod request;
mod respond_error;
mod responder;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use message_set::MessageSet;
pub use request::Request;
pub use respond_error::{RespondError, RespondErrorKind};
pub use responder::Responder;
