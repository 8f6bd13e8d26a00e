//! The future of a request.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::future::BoxFuture;

use super::drive::{Drive, read_reply};
use super::new_request::NewRequest;
use crate::client::locations::KnownLocation;
use crate::error::RequestError;
use crate::message::{Body, Message};
use crate::route::{LinkedCall, LinkedOutcome};

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

/// How far a request has come.
enum ReplyStage<R: Message> {
    New(NewRequest),
    /// Its first try is on a link that was open: no timer, no lookup and no allocation.
    Linked(LinkedTry),
    /// Everything else.
    Driven(BoxFuture<'static, Result<R, RequestError>>),
    Ended,
}

/// A try over a link. Dropped, it is cancelled.
struct LinkedTry {
    /// None once the try has failed.
    drive: Option<Drive>,
    known: Arc<KnownLocation>,
    linked: LinkedCall,
}

impl<R: Message> ReplyFuture<R> {
    pub(super) const fn new(request: NewRequest) -> Self {
        Self {
            stage: ReplyStage::New(request),
        }
    }
}

impl<R: Message> Future for ReplyFuture<R> {
    type Output = Result<R, RequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stage = &mut self.stage;
        if let ReplyStage::New(_) = stage
            && let ReplyStage::New(request) = std::mem::replace(stage, ReplyStage::Ended)
        {
            let time = request.time();
            let mut drive = request.begin()?;
            *stage = match drive.begin_linked() {
                Some((known, link)) => ReplyStage::Linked(LinkedTry {
                    drive: Some(drive),
                    known,
                    linked: LinkedCall::new(link, time),
                }),
                None => ReplyStage::Driven(Box::pin(driven(drive, None))),
            };
        }
        if let ReplyStage::Linked(linked_try) = stage {
            match ready!(linked_try.poll(cx)) {
                Ok(answer) => {
                    *stage = ReplyStage::Ended;
                    return Poll::Ready(answer);
                }
                Err((drive, failed)) => {
                    *stage = ReplyStage::Driven(Box::pin(driven(drive, failed)))
                }
            }
        }
        match stage {
            ReplyStage::Driven(driven) => driven.as_mut().poll(cx),
            // Polled again after its end, as no future may be.
            ReplyStage::New(_) | ReplyStage::Linked(_) | ReplyStage::Ended => Poll::Pending,
        }
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

impl LinkedTry {
    /// Returns the answer of the request, or what it takes to try again.
    #[allow(clippy::type_complexity)]
    fn poll<R: Message>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<R, RequestError>, (Drive, Option<RequestError>)>> {
        let Self {
            drive,
            known,
            linked,
        } = self;
        let Some(driving) = drive else {
            return Poll::Pending;
        };
        let failed = match ready!(driving.poll_linked(known, linked, cx)) {
            LinkedOutcome::Replied(payload) => {
                return Poll::Ready(Ok(read_reply(Body::Encoded(payload))));
            }
            LinkedOutcome::Overdue => return Poll::Ready(Ok(Err(driving.overdue()))),
            LinkedOutcome::Failed(error) => Some(error),
            LinkedOutcome::Ended(moved) => {
                driving.keep_place(moved);
                None
            }
            LinkedOutcome::TooLarge => None,
        };
        match drive.take() {
            Some(drive) => Poll::Ready(Err((drive, failed))),
            None => Poll::Pending,
        }
    }
}

impl Drop for LinkedTry {
    fn drop(&mut self) {
        if let Some(drive) = &mut self.drive {
            drive.give_up_linked(&mut self.linked);
        }
    }
}

impl<R: Message> fmt::Debug for ReplyFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyFuture").finish_non_exhaustive()
    }
}
