//! A request as it reaches a mailbox, before its message is decoded.

use std::sync::Arc;

use tokio_util::task::task_tracker::TaskTrackerToken;

use super::answer::ReplyTo;
use super::budget::Charge;
use super::meta::Meta;
use super::pending::Pending;
use super::reply_room::ReplyRoom;
use crate::error::RequestError;
use crate::message::{Body, BodyError, Message};
use crate::session::Fence;
use crate::token::Token;

/// A request that reached the inbox of a mailbox: its message, not yet decoded, and where its
/// answer goes.
///
/// A [`MessageSet`](crate::MessageSet) is created from it; user code sees it only if it implements
/// that trait by hand.
#[derive(Debug)]
pub struct Incoming(Pending);

impl Incoming {
    /// Creates a request. `reply_to` gets exactly one answer, whatever happens, unless the request
    /// is [rejected](Self::refuse).
    pub(crate) fn new(body: Body, meta: Meta, max_reply_bytes: usize, reply_to: ReplyTo) -> Self {
        Self(Pending::new(body, meta, max_reply_bytes, reply_to))
    }

    /// Attaches the room that the message occupies until it is decoded or dropped, and the room for
    /// the reply.
    pub(super) fn charged(mut self, charge: Charge, reply_room: ReplyRoom) -> Self {
        self.0.charge(charge, reply_room);
        self
    }

    /// Makes the tracker of this token wait for the end of the request: its answer or its drop.
    pub(crate) fn await_end(&mut self, awaited: TaskTrackerToken) {
        self.0.await_end(awaited);
    }

    /// Whether there would probably be no room for a reply.
    pub(crate) fn lacks_reply_room(&self) -> bool {
        self.0.lacks_reply_room()
    }

    /// Answers that the request was rejected, and not executed.
    pub(crate) fn reject(mut self, error: RequestError) {
        self.0.release();
        // Without a requester nothing is lost.
        let _ = self.0.fail(error);
    }

    /// Returns the wire name of the message.
    #[must_use]
    pub fn wire_name(&self) -> &str {
        self.0.wire_name()
    }

    pub(crate) fn meta(&self) -> &Meta {
        self.0.meta()
    }

    /// Returns the message to the route. Nothing is sent to `reply_to`.
    pub(crate) fn refuse(mut self, error: RequestError) -> Refused {
        self.0.forget();
        Refused {
            error,
            body: self.0.take_body(),
        }
    }

    /// Rejects a request that was queued: its requester gets the message back with the error, if
    /// the route can transport it. Nothing was executed.
    pub(crate) fn give_back(self, error: RequestError) {
        self.0.give_back(error);
    }

    /// Whether it is meant for a mailbox that was registered under a token other than this one.
    pub(crate) fn expects_another_than(&self, token: Token) -> bool {
        self.meta().token.is_some_and(|expected| expected != token)
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.is_left_in_queue()
    }

    /// Whether it came over a link, whose client repeats a request that was queued and then
    /// rejected.
    pub(crate) fn is_linked(&self) -> bool {
        self.0.is_linked()
    }

    /// Takes the request back without an answer.
    pub(crate) fn forget(&mut self) {
        self.0.forget();
    }

    /// Answers a request that is not handed out: its deadline has passed, or the mailbox is closed.
    /// Returns whether its requester still waited for the answer.
    pub(crate) fn dismiss(&mut self) -> bool {
        self.0.release();
        self.0.dismiss()
    }

    /// Marks the request as next: a message set now decodes it. From now on the answer depends on
    /// this fence.
    pub(crate) fn begin_reading(&mut self, fence: Arc<Fence>) {
        self.0.begin_reading(fence);
    }

    /// Decodes the message. If it is not an `M`, the requester gets an error.
    pub(crate) fn read<M: Message>(self) -> Option<(M, Pending)> {
        let Self(mut pending) = self;
        let read = pending.take_body()?.into_message::<M>();
        // The bytes of the message are gone, so its room is free before anybody learns of it.
        pending.release();
        match read {
            Ok(message) => Some((message, pending)),
            Err(BodyError::Type(body)) => {
                let error = RequestError::unknown_message(body.wire_name());
                // Without a requester nothing is lost.
                let _ = pending.fail(error);
                None
            }
            Err(BodyError::Bytes(error)) => {
                let _ = pending.fail(RequestError::invalid_message(&error));
                None
            }
        }
    }
}

/// A request that a mailbox rejected. Nothing was executed.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: RequestError,
    /// The message, if it was not consumed.
    pub(crate) body: Option<Body>,
}
