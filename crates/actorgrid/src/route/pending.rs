use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Answer, Meta, Refused};
use crate::error::{Executed, RequestError};
use crate::message::{Body, BodyError, Message};
use crate::session::Fence;

/// A request at the door of a mailbox: its message, not yet read, and where its answer goes.
///
/// A [`MessageSet`](crate::MessageSet) is made from it; user code sees it only where it implements
/// that trait by hand.
#[derive(Debug)]
pub struct Incoming {
    body: Body,
    pending: Pending,
}

impl Incoming {
    /// A request, and where its answer will come: exactly one, whatever happens.
    pub(crate) fn new(
        body: Body,
        meta: Meta,
        max_reply_bytes: usize,
    ) -> (Self, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let pending = Pending {
            reply: Some(reply),
            meta,
            fence: None,
            handed_out: false,
            max_reply_bytes,
        };
        (Self { body, pending }, answer)
    }

    /// The wire name of the message.
    #[must_use]
    pub fn wire_name(&self) -> &str {
        self.body.wire_name()
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.pending.meta
    }

    /// Gives the message back to the route. The answer's receiver is to be dropped.
    pub(crate) fn refuse(mut self, error: RequestError) -> Refused {
        self.pending.reply = None;
        Refused {
            error,
            body: Some(self.body),
        }
    }

    /// From now on the answer depends on this fence.
    pub(crate) fn admit(&mut self, fence: Arc<Fence>) {
        self.pending.fence = Some(fence);
    }

    /// Reads the message. When it is not an `M`, the requester is told so.
    pub(crate) fn read<M: Message>(self) -> Option<(M, Pending)> {
        let Self { body, pending } = self;
        match body.into_message::<M>() {
            Ok(message) => Some((message, pending)),
            Err(BodyError::Type(body)) => {
                pending.answer(Err(RequestError::unknown_message(body.wire_name())));
                None
            }
            Err(BodyError::Bytes(error)) => {
                pending.answer(Err(RequestError::invalid_message(&error)));
                None
            }
        }
    }
}

/// An answer that is owed. Dropped without one, it says that there is none.
#[derive(Debug)]
pub struct Pending {
    reply: Option<oneshot::Sender<Answer>>,
    meta: Meta,
    fence: Option<Arc<Fence>>,
    handed_out: bool,
    max_reply_bytes: usize,
}

impl Pending {
    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
            || self.meta.deadline.remaining().is_zero()
    }

    /// Ends when nobody waits for the answer any more.
    pub(crate) async fn abandoned(&mut self) {
        if let Some(reply) = &mut self.reply {
            tokio::select! {
                () = reply.closed() => {}
                () = self.meta.deadline.passed() => {}
            }
        }
    }

    /// The receiver has the request now: what follows may count as executed.
    pub(crate) fn hand_out(&mut self) {
        self.handed_out = true;
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.fence.as_ref().is_some_and(|fence| !fence.admits())
    }

    pub(crate) fn max_reply_bytes(&self) -> usize {
        self.max_reply_bytes
    }

    /// Answers; false when nobody waits any more.
    pub(crate) fn answer(mut self, answer: Answer) -> bool {
        self.reply
            .take()
            .is_some_and(|reply| reply.send(answer).is_ok())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            let error = if self.handed_out {
                RequestError::no_reply("the receiver dropped the request without an answer")
            } else if self.meta.deadline.remaining().is_zero() {
                // A mailbox skips it then; the requester's own timer may come a moment later.
                RequestError::deadline(Executed::No)
            } else {
                RequestError::mailbox_closed()
            };
            // Nobody waits: nothing is lost.
            let _ = reply.send(Err(error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Deadline;
    use crate::error::RequestErrorKind as Kind;
    use crate::message::EchoMsg;
    use crate::route::{Headers, RequestId};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn one_that_is_skipped_after_its_deadline_does_not_blame_the_mailbox() {
        for (time, kind) in [
            (Duration::ZERO, Kind::DeadlineExceeded),
            (Duration::from_secs(1), Kind::MailboxClosed),
        ] {
            let meta = Meta {
                id: RequestId(1),
                deadline: Deadline::after(time),
                token: None,
                headers: Headers::default(),
            };
            let (incoming, answer) = Incoming::new(Body::value(EchoMsg::default()), meta, 9);
            drop(incoming);
            let error = answer.await.unwrap().err().unwrap();
            assert_eq!((error.kind(), error.executed()), (kind, Executed::No));
        }
    }
}
