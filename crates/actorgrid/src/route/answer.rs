//! The answer to a request, and where it goes.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::{RecvError, TryRecvError};

use super::budget::Charge;
use super::request_source::{Answer, RequestSource};
use super::slab::SlabKey;
use crate::error::RequestError;
use crate::message::Body;

/// Where the one answer to a request goes. Only this file knows how it gets there: a route that
/// answers in another way adds it here.
#[derive(Debug)]
pub(crate) struct ReplyTo(ReplyPlace);

enum ReplyPlace {
    /// To an [`AnswerReader`].
    Channel(oneshot::Sender<ChargedAnswer>),
    /// Straight into the send buffer of the connection that the request came over.
    Source {
        source: Arc<dyn RequestSource>,
        key: SlabKey,
    },
}

impl fmt::Debug for ReplyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(_) => f.write_str("Channel"),
            Self::Source { key, .. } => write!(f, "Source({key:?})"),
        }
    }
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

    /// The answer goes to the connection that knows the request by this key.
    pub(super) fn source(source: Arc<dyn RequestSource>, key: SlabKey) -> Self {
        Self(ReplyPlace::Source { source, key })
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_closed(&self) -> bool {
        match &self.0 {
            ReplyPlace::Channel(sender) => sender.is_closed(),
            ReplyPlace::Source { source, key } => source.is_gone(*key),
        }
    }

    /// Waits until nobody waits for the answer any more. Cancel safe.
    pub(super) async fn closed(&mut self) {
        match &mut self.0 {
            ReplyPlace::Channel(sender) => sender.closed().await,
            ReplyPlace::Source { source, key } => poll_fn(|cx| source.poll_gone(*key, cx)).await,
        }
    }

    /// Sends the answer. Returns it if nobody waits for it any more.
    pub(super) fn send(self, answer: Answer, charge: Option<Charge>) -> Result<(), Answer> {
        match self.0 {
            ReplyPlace::Channel(sender) => {
                let sent = sender.send(ChargedAnswer {
                    answer,
                    charge,
                    returned: None,
                });
                sent.map_err(|charged| charged.answer)
            }
            ReplyPlace::Source { source, key } => source.answer(key, answer, charge),
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
            ReplyPlace::Source { source, key } => {
                let _ = source.answer(key, Err(error), None);
            }
        }
    }
}
