//! Sends the answer to one request.

use std::fmt;
use std::marker::PhantomData;

use super::failure::{Failure, MAX_DETAIL_BYTES};
use super::respond_error::RespondError;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{Message, Payload};
use crate::route::{Caller, LostReply, Pending, RequestId};
use crate::token::Token;

/// Sends the answer to one request. If it is dropped without an answer, the requester gets
/// [`RequestErrorKind::NoReply`] at once.
pub struct Responder<R: Message> {
    pending: Pending,
    reply: PhantomData<fn(R)>,
}

impl<R: Message> Responder<R> {
    pub(super) fn new(pending: Pending) -> Self {
        Self {
            pending,
            reply: PhantomData,
        }
    }

    /// Converts into a responder for a reply of any type.
    pub(super) fn untyped(self) -> Responder<Payload> {
        Responder::new(self.pending)
    }

    pub(super) fn pending(&mut self) -> &mut Pending {
        &mut self.pending
    }

    /// Answers with a reply.
    ///
    /// # Errors
    ///
    /// Returns [`RespondError`] if the requester does not get this reply. The error says why and
    /// returns the reply. A requester that still waits gets an error at once:
    /// [`RequestErrorKind::NoReply`] if the peer is fenced, or if replies that were not received
    /// yet leave no room for this one; [`RequestErrorKind::ReplyTooLarge`] if the reply is too
    /// large.
    pub fn respond(self, reply: R) -> Result<(), RespondError<R>> {
        let length = reply.encoded_len();
        let limit = self.pending.max_reply_bytes();
        if length > limit {
            return Err(self.reply_too_large(reply, length, limit));
        }
        if self.pending.is_fenced() {
            return Err(self.fenced(Some(reply)));
        }
        match self.pending.reply(reply, length) {
            Ok(()) => Ok(()),
            Err(LostReply::NoRoom(reply)) => Err(RespondError::no_room(reply)),
            Err(LostReply::RequesterGone(reply)) => Err(RespondError::requester_gone(reply)),
        }
    }

    /// Answers with an error: a text, any error, or a [`Failure`], which can also have a code and a
    /// detail. An error is an answer, so the library does not retry the request because of it. The
    /// requester sees the text, with [`RequestErrorKind::Application`].
    ///
    /// # Errors
    ///
    /// Returns [`RespondError`] if the requester does not get this answer. A detail over 8 KiB,
    /// including its wire name, is too large; the requester then gets the error without it.
    pub fn fail(self, failure: impl Into<Failure>) -> Result<(), RespondError<R>> {
        let failure: Failure = failure.into();
        let length = failure.detail_bytes();
        if length > MAX_DETAIL_BYTES {
            self.answer_error(failure.without_detail().into_error())?;
            return Err(RespondError::too_large(None, length, MAX_DETAIL_BYTES));
        }
        self.answer_error(failure.into_error())
    }

    /// Answers with an error of the grid itself.
    pub(crate) fn refuse(self, error: RequestError) -> Result<(), RespondError<R>> {
        self.answer_error(error)
    }

    fn answer_error(self, error: RequestError) -> Result<(), RespondError<R>> {
        if self.pending.is_fenced() {
            return Err(self.fenced(None));
        }
        match self.pending.fail(error) {
            true => Ok(()),
            false => Err(RespondError::requester_gone(None)),
        }
    }

    #[cold]
    fn reply_too_large(self, reply: R, length: usize, limit: usize) -> RespondError<R> {
        let text = format!("the reply has {length} bytes and the limit is {limit}");
        let error = RequestError::new(RequestErrorKind::ReplyTooLarge, Executed::Yes, text);
        match self.answer_error(error) {
            Ok(()) => RespondError::too_large(Some(reply), length, limit),
            Err(other) => other.with_reply(reply),
        }
    }

    /// Drops the owed answer, which reports `NoReply` to a requester that still waits.
    #[cold]
    fn fenced(self, reply: Option<R>) -> RespondError<R> {
        RespondError::fenced(reply, !self.is_abandoned())
    }

    /// Returns the request's id; retries of one request share it.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.pending.meta().id
    }

    /// Returns the time by which the requester wants the answer.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.pending.meta().deadline
    }

    /// Returns the registration that the requester expected to reach; `None` if the request came
    /// from a client of the Go library, or did not leave the process.
    #[must_use]
    pub fn expected_token(&self) -> Option<Token> {
        self.pending.meta().token
    }

    /// Returns who sent the request, as far as its connection shows it.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.pending.caller()
    }

    /// Returns the value of a header of the request.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.pending.meta().headers.get(name)
    }

    /// Returns the headers of the request.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pending.meta().headers.iter()
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.pending.is_abandoned()
    }

    /// Waits until nobody waits for the answer any more: the requester is gone, or the deadline has
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
