//! The future of a request.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::future::BoxFuture;

use super::drive::{Drive, read_reply, unreadable};
use super::first_try::{Begun, FirstOutcome, FirstTry};
use super::new_request::NewRequest;
use crate::error::RequestError;
use crate::message::{Body, Message, Payload};
use crate::route::ShortReply;

/// The reply to a request that is sent when this is first polled. Created by
/// [`RequestBuilder::send`](crate::RequestBuilder::send), and by awaiting a
/// [`RequestBuilder`](crate::RequestBuilder).
///
/// # Cancel safety
///
/// Dropping the future signals the receiver that nobody waits; it is then unknown whether the
/// request was executed.
#[must_use = "a request is sent when it is awaited"]
pub struct ReplyFuture<R: Message> {
    stage: ReplyStage<R>,
}

/// How far a request has come. Polled where it is: moves are not free.
enum ReplyStage<R: Message> {
    /// Not begun, or at a mailbox of this process, or on a link that was open.
    First(FirstTry),
    /// Everything else.
    Driven(BoxFuture<'static, Result<R, RequestError>>),
    Ended,
}

impl<R: Message> ReplyFuture<R> {
    pub(super) const fn new(request: NewRequest) -> Self {
        Self {
            stage: ReplyStage::First(FirstTry::new(request)),
        }
    }

    /// The first try has another outcome than a short reply.
    fn conclude(
        &mut self,
        outcome: FirstOutcome,
        cx: &mut Context<'_>,
    ) -> Poll<Result<R, RequestError>> {
        if let FirstOutcome::GoesOn(begun) = outcome {
            return self.go_on(begun, cx);
        }
        // Before users' code decodes the reply, which may panic.
        self.stage = ReplyStage::Ended;
        Poll::Ready(match outcome {
            FirstOutcome::Failed(error) => Err(error),
            FirstOutcome::Replied(reply) => read_reply(reply),
            // No reply comes at once.
            FirstOutcome::Short(_) | FirstOutcome::GoesOn(_) => {
                Err(RequestError::no_reply("the reply is gone"))
            }
        })
    }

    /// The request goes on after its first try.
    fn go_on(&mut self, begun: Begun, cx: &mut Context<'_>) -> Poll<Result<R, RequestError>> {
        let stage = std::mem::replace(&mut self.stage, ReplyStage::Ended);
        let ReplyStage::First(first) = stage else {
            return Poll::Pending;
        };
        let (drive, failed) = first.into_drive(begun)?;
        let mut driven: BoxFuture<'_, _> = Box::pin(driven(drive, failed));
        let polled = driven.as_mut().poll(cx);
        if polled.is_pending() {
            self.stage = ReplyStage::Driven(driven);
        }
        polled
    }
}

impl<R: Message> Future for ReplyFuture<R> {
    type Output = Result<R, RequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let first = match &mut this.stage {
            ReplyStage::First(first) => first,
            ReplyStage::Driven(driven) => return driven.as_mut().poll(cx),
            // Polled again after its end, as no future may be, or after a panic.
            ReplyStage::Ended => {
                let error = RequestError::no_reply("the request has ended before");
                return Poll::Ready(Err(error));
            }
        };
        if !first.has_begun() {
            let outcome = ready!(first.begin(R::WIRE_NAME, cx));
            return this.conclude(outcome, cx);
        }
        let mut reply = ShortReply::EMPTY;
        let wire_name = match ready!(first.poll(&mut reply, cx)) {
            FirstOutcome::Short(wire_name) => wire_name,
            outcome => return this.conclude(outcome, cx),
        };
        // Before users' code decodes the reply, which may panic.
        this.stage = ReplyStage::Ended;
        Poll::Ready(match wire_name {
            None => R::decode_from(R::WIRE_NAME, reply.bytes()).map_err(unreadable),
            Some(wire_name) => {
                let bytes = Bytes::copy_from_slice(reply.bytes());
                read_reply(Body::Encoded(Payload::shared(wire_name, bytes)))
            }
        })
    }
}

/// Drives a request to its end, after a first try that has failed, if there was one.
async fn driven<R: Message>(
    mut drive: Drive,
    failed: Option<RequestError>,
) -> Result<R, RequestError> {
    let deadline = drive.deadline();
    match deadline.bound(drive.answer_after(failed)).await {
        Some(answer) => answer,
        None => Err(drive.overdue()),
    }
}

impl<R: Message> fmt::Debug for ReplyFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Ack;

    #[test]
    fn is_small_as_users_move_and_spawn_it() {
        let bytes = size_of::<ReplyFuture<Ack>>();
        assert!(bytes <= 160, "{bytes}");
    }

    /// An allocator takes long for what is large, and async functions hold their arguments twice.
    #[test]
    fn a_request_that_is_not_answered_at_once_takes_little_memory() {
        fn size<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(driven::<Ack>);
        assert!(bytes <= 2400, "{bytes}");
    }
}
