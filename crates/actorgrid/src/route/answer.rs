//! The answer to a request, and where it goes.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::{RecvError, TryRecvError};

use super::budget::Charge;
use super::call_places::LocalAnswer;
use super::caller::Caller;
use super::local_reply::LocalReply;
use super::request_source::{Answer, NotReplied, NotRepliedSmall, SourceRequest, is_small};
use crate::error::RequestError;
use crate::message::{AnyMessage, Body};

/// Where the one answer to a request goes. Only this file knows how it gets there: a route that
/// answers in another way adds it here.
#[derive(Debug)]
pub(crate) struct ReplyTo(ReplyPlace);

#[derive(Debug)]
enum ReplyPlace {
    /// To an [`AnswerReader`].
    Channel(oneshot::Sender<ChargedAnswer>),
    /// To a call of the same process.
    Local(LocalReply),
    /// Straight into the send buffer of the connection that the request came over.
    Source(SourceRequest),
}

/// An answer that nobody waits for, or a reply for which there is no room.
#[derive(Debug)]
pub(super) enum AnswerNotSent {
    Gone(Answer),
    NoRoom(Body),
}

/// An answer, and the room that it occupies until it is sent.
#[derive(Debug)]
pub(super) struct ChargedAnswer {
    pub(super) answer: Answer,
    pub(super) charge: Option<Charge>,
    /// The message of a request that was queued and then rejected, for a route that can use it.
    pub(super) returned: Option<Box<Body>>,
}

/// Reads an answer. As a future, it returns the answer without the room that it occupies.
#[derive(Debug)]
pub(crate) struct AnswerReader(oneshot::Receiver<ChargedAnswer>);

impl AnswerReader {
    /// Waits for the answer. Cancel safe.
    pub(super) async fn read(&mut self) -> Result<ChargedAnswer, RecvError> {
        (&mut self.0).await
    }

    /// Returns the answer, if it has arrived.
    pub(crate) fn try_read(&mut self) -> Result<Answer, TryRecvError> {
        self.0.try_recv().map(|charged| charged.answer)
    }

    /// Stops waiting: from now on, nobody waits for the answer any more.
    pub(super) fn close(&mut self) {
        self.0.close();
    }
}

impl Future for AnswerReader {
    type Output = Result<Answer, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let read = Pin::new(&mut self.0).poll(cx);
        read.map(|read| read.map(|charged| charged.answer))
    }
}

impl ReplyTo {
    /// Creates a place for one answer, and its reader. The reader fails if the place is dropped
    /// without an answer.
    pub(crate) fn channel() -> (Self, AnswerReader) {
        let (sender, answer) = oneshot::channel();
        (Self(ReplyPlace::Channel(sender)), AnswerReader(answer))
    }

    /// The answer goes to the connection that the request came over.
    pub(super) const fn source(request: SourceRequest) -> Self {
        Self(ReplyPlace::Source(request))
    }

    /// The answer goes to a call of the same process.
    pub(super) const fn local(reply: LocalReply) -> Self {
        Self(ReplyPlace::Local(reply))
    }

    /// Returns the other end of the connection that the request came over, if that knows it.
    pub(super) fn caller(&self) -> Option<&Caller> {
        match &self.0 {
            ReplyPlace::Channel(_) | ReplyPlace::Local(_) => None,
            ReplyPlace::Source(request) => Some(request.caller()),
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_closed(&self) -> bool {
        match &self.0 {
            ReplyPlace::Channel(sender) => sender.is_closed(),
            ReplyPlace::Local(reply) => reply.is_closed(),
            ReplyPlace::Source(request) => request.is_gone(),
        }
    }

    /// Whether the answer goes to a link.
    pub(super) const fn is_linked(&self) -> bool {
        matches!(self.0, ReplyPlace::Source(_))
    }

    /// Whether the requester takes a request out of its queue when it leaves, so that one that is
    /// found there is waited for.
    pub(super) const fn withdraws(&self) -> bool {
        matches!(self.0, ReplyPlace::Source(_) | ReplyPlace::Local(_))
    }

    /// Whether there was probably no room for a reply a moment ago.
    pub(super) fn lacks_reply_room(&self) -> bool {
        match &self.0 {
            ReplyPlace::Channel(_) | ReplyPlace::Local(_) => false,
            ReplyPlace::Source(request) => request.lacks_reply_room(),
        }
    }

    /// The request is not queued any more: its sender may send another one.
    pub(super) fn return_credit(&mut self) {
        if let ReplyPlace::Source(request) = &mut self.0 {
            request.return_credit();
        }
    }

    /// Waits until nobody waits for the answer any more. Cancel safe.
    pub(super) async fn closed(&mut self) {
        match &mut self.0 {
            ReplyPlace::Channel(sender) => sender.closed().await,
            ReplyPlace::Local(reply) => poll_fn(|cx| reply.poll_closed(cx)).await,
            ReplyPlace::Source(request) => poll_fn(|cx| request.poll_gone(cx)).await,
        }
    }

    /// Drops the place without an answer: the requester knows what has become of the request.
    pub(super) fn forget(self) {
        if let ReplyPlace::Local(reply) = self.0 {
            reply.forget();
        }
    }

    /// Sends a reply of this length.
    pub(super) fn reply(
        self,
        reply: Body,
        length: usize,
        charge: Option<Charge>,
    ) -> Result<(), AnswerNotSent> {
        match self.0 {
            ReplyPlace::Channel(sender) => send(sender, Ok(reply), charge),
            ReplyPlace::Local(local) => answer_locally(local, Ok(reply)),
            ReplyPlace::Source(mut request) => {
                // A client that has all answers has all credit back.
                request.return_credit();
                request
                    .reply(reply, length, charge)
                    .map_err(|error| match error {
                        NotReplied::Gone(reply) => AnswerNotSent::Gone(Ok(reply)),
                        NotReplied::NoRoom(reply) => AnswerNotSent::NoRoom(reply),
                    })
            }
        }
    }

    /// Sends a small reply that stays with the caller. Returns `None` if this route must have it.
    pub(super) fn reply_small(
        &self,
        reply: &dyn AnyMessage,
        length: usize,
    ) -> Option<Result<(), NotRepliedSmall>> {
        match &self.0 {
            ReplyPlace::Source(request) if is_small(length) => {
                Some(request.reply_small(reply, length))
            }
            _ => None,
        }
    }

    /// Sends an error. Returns whether somebody waited for it.
    pub(super) fn fail(self, error: RequestError) -> bool {
        match self.0 {
            ReplyPlace::Channel(sender) => send(sender, Err(error), None).is_ok(),
            ReplyPlace::Local(local) => answer_locally(local, Err(error)).is_ok(),
            ReplyPlace::Source(mut request) => {
                request.return_credit();
                request.fail(&error)
            }
        }
    }

    /// Answers that the request was rejected, and returns its message.
    pub(super) fn give_back(self, error: RequestError, body: Body) {
        // Without a requester nothing is lost.
        match self.0 {
            ReplyPlace::Channel(sender) => {
                let _ = sender.send(ChargedAnswer {
                    answer: Err(error),
                    charge: None,
                    returned: Some(Box::new(body)),
                });
            }
            ReplyPlace::Local(local) => {
                let _ = local.send(LocalAnswer {
                    answer: Err(error),
                    returned: Some(Box::new(body)),
                });
            }
            ReplyPlace::Source(mut request) => {
                request.return_credit();
                request.fail(&error);
            }
        }
    }
}

fn answer_locally(local: LocalReply, answer: Answer) -> Result<(), AnswerNotSent> {
    let returned = None;
    let sent = local.send(LocalAnswer { answer, returned });
    sent.map_err(|unsent| AnswerNotSent::Gone(unsent.answer))
}

fn send(
    sender: oneshot::Sender<ChargedAnswer>,
    answer: Answer,
    charge: Option<Charge>,
) -> Result<(), AnswerNotSent> {
    let sent = sender.send(ChargedAnswer {
        answer,
        charge,
        returned: None,
    });
    sent.map_err(|charged| AnswerNotSent::Gone(charged.answer))
}
