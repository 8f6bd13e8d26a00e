//! The answer to a request, and where it goes.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::{RecvError, TryRecvError};

use super::budget::Charge;
use crate::error::RequestError;
use crate::message::Body;

/// The answer to a request.
pub(crate) type Answer = Result<Body, RequestError>;

/// Where the one answer to a request goes. Only this file knows how it gets there: a route that
/// answers in another way adds it here.
#[derive(Debug)]
pub(crate) struct ReplyTo(oneshot::Sender<ChargedAnswer>);

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
        (Self(sender), AnswerReader(answer))
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits until nobody waits for the answer any more. Cancel safe.
    pub(super) async fn closed(&mut self) {
        self.0.closed().await;
    }

    /// Sends the answer. Returns it if nobody waits for it any more.
    pub(super) fn send(self, answer: Answer, charge: Option<Charge>) -> Result<(), Answer> {
        let sent = self.0.send(ChargedAnswer {
            answer,
            charge,
            returned: None,
        });
        sent.map_err(|charged| charged.answer)
    }

    /// Answers that the request was rejected, and returns its message.
    pub(super) fn give_back(self, error: RequestError, body: Body) {
        // Without a requester nothing is lost.
        let _ = self.0.send(ChargedAnswer {
            answer: Err(error),
            charge: None,
            returned: Some(Box::new(body)),
        });
    }
}
