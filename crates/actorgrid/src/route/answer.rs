//! The answer to a request, and where it goes.

use tokio::sync::oneshot;

use crate::error::RequestError;
use crate::message::Body;

/// The answer to a request.
pub(crate) type Answer = Result<Body, RequestError>;

/// Where the one answer to a request goes. Only this file knows by which means: a route that
/// answers in another way adds it here.
#[derive(Debug)]
pub(crate) struct ReplyTo(oneshot::Sender<Answer>);

impl ReplyTo {
    /// A place for one answer, and its reader. The reader fails if the place is dropped without
    /// an answer.
    pub(crate) fn channel() -> (Self, oneshot::Receiver<Answer>) {
        let (sender, answer) = oneshot::channel();
        (Self(sender), answer)
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits until nobody waits for the answer any more. Cancel safe.
    pub(super) async fn closed(&mut self) {
        self.0.closed().await;
    }

    /// Answers. Gives the answer back if nobody waits for it any more.
    pub(super) fn send(self, answer: Answer) -> Result<(), Answer> {
        self.0.send(answer)
    }
}
