//! An answer that is owed to a requester, with the request's message until that is handed out.

use std::sync::Arc;

use tokio_util::task::task_tracker::TaskTrackerToken;

use super::answer::{AnswerNotSent, ReplyTo};
use super::budget::{BudgetFull, Charge};
use super::caller::Caller;
use super::meta::Meta;
use super::reply_room::ReplyRoom;
use super::request_source::NotRepliedSmall;
use crate::error::{Executed, RequestError};
use crate::message::{Body, DecodeError, Message};
use crate::session::Fence;

/// An answer that is owed. If dropped without an answer, it reports that there is none.
///
/// Boxed, as it passes through many hands on its way to the one who answers.
#[derive(Debug)]
pub struct Pending(Box<PendingRequest>);

#[derive(Debug)]
struct PendingRequest {
    /// The room that the message occupies until it is decoded. Released before the answer is sent:
    /// a client that has an answer to all of its requests has their room back.
    charge: Option<Charge>,
    /// The message, until it is decoded.
    body: Option<Body>,
    reply_to: Option<ReplyTo>,
    meta: Meta,
    fence: Option<Arc<Fence>>,
    stage: RequestStage,
    max_reply_bytes: usize,
    /// `None` on the local route, where a reply is moved.
    reply_room: Option<ReplyRoom>,
    /// While this exists, the end of the request is awaited.
    #[allow(dead_code)] // held for its drop
    awaited: Option<TaskTrackerToken>,
}

/// A reply that was not sent, and why.
#[derive(Debug)]
pub(crate) enum LostReply<R> {
    /// Nobody waits for it any more.
    RequesterGone(Option<R>),
    /// There is no room for it. The requester has received an error instead.
    NoRoom(Option<R>),
}

/// The bytes that each reply is charged in addition to its message.
pub(super) const REPLY_BYTES: usize = 512;

/// How far a request has come. If the request is dropped, this determines its error.
#[derive(Debug)]
enum RequestStage {
    /// On its way, or in a queue.
    Queued,
    /// With a message set that decodes its message.
    Reading,
    /// With the receiver: from now on the request may count as executed.
    HandedOut,
}

impl Pending {
    pub(super) fn new(body: Body, meta: Meta, max_reply_bytes: usize, reply_to: ReplyTo) -> Self {
        Self(Box::new(PendingRequest {
            charge: None,
            body: Some(body),
            reply_to: Some(reply_to),
            meta,
            fence: None,
            stage: RequestStage::Queued,
            max_reply_bytes,
            reply_room: None,
            awaited: None,
        }))
    }

    /// Sets the room that the message occupies until it is decoded or dropped, and the room for the
    /// reply.
    pub(super) fn charge(&mut self, message: Charge, reply: ReplyRoom) {
        self.0.charge = Some(message);
        self.0.reply_room = Some(reply);
    }

    /// Returns the wire name of the message, which is still here.
    pub(super) fn wire_name(&self) -> &str {
        self.0.body.as_ref().map_or("", Body::wire_name)
    }

    /// Takes the message.
    pub(super) fn take_body(&mut self) -> Option<Body> {
        self.0.body.take()
    }

    /// Releases the room of the message, and returns the request's credit: its sender may send
    /// another one.
    pub(super) fn release(&mut self) {
        self.0.charge = None;
        if let Some(reply_to) = &mut self.0.reply_to {
            reply_to.return_credit();
        }
    }

    /// Makes the tracker of this token wait for the end of the request.
    pub(super) fn await_end(&mut self, awaited: TaskTrackerToken) {
        self.0.awaited = Some(awaited);
    }

    /// Whether there would probably be no room for a reply.
    pub(super) fn lacks_reply_room(&self) -> bool {
        match &self.0.reply_room {
            Some(room) => room.is_lacking(),
            None => self
                .0
                .reply_to
                .as_ref()
                .is_some_and(ReplyTo::lacks_reply_room),
        }
    }

    /// Whether the answer goes to a link.
    pub(super) fn is_linked(&self) -> bool {
        self.0.reply_to.as_ref().is_some_and(ReplyTo::is_linked)
    }

    /// Whether a request that has just left its queue need not be handed out, as nobody waits for
    /// the answer any more.
    pub(super) fn is_left_in_queue(&self) -> bool {
        match &self.0.reply_to {
            Some(reply_to) => {
                let is_left = !reply_to.withdraws() && reply_to.is_closed();
                is_left || self.0.meta.deadline.remaining().is_zero()
            }
            None => true,
        }
    }

    /// Marks the request as next. From now on the answer depends on this fence.
    pub(super) fn begin_reading(&mut self, fence: Arc<Fence>) {
        self.0.fence = Some(fence);
        self.0.stage = RequestStage::Reading;
    }

    /// Answers with an error that reports how far the request has come, unless it is answered
    /// already. Returns whether the requester still waited for the answer.
    pub(super) fn dismiss(&mut self) -> bool {
        let Some(reply_to) = self.0.reply_to.take() else {
            return false;
        };
        // The requester's own timer may fire a moment later.
        let is_late = self.0.meta.deadline.remaining().is_zero();
        let error = match self.0.stage {
            RequestStage::Queued if is_late => RequestError::deadline(Executed::No),
            RequestStage::Queued => RequestError::mailbox_closed(),
            // A retry would fare no better: decoding it panicked, or its set dropped it.
            RequestStage::Reading => {
                RequestError::invalid_message(&DecodeError::new("it was dropped during decoding"))
            }
            RequestStage::HandedOut if is_late => RequestError::deadline(Executed::Maybe),
            RequestStage::HandedOut => {
                RequestError::no_reply("the receiver dropped the request without an answer")
            }
        };
        reply_to.fail(error)
    }

    /// Answers that the request was rejected, and returns its message.
    pub(super) fn give_back(mut self, error: RequestError) {
        self.release();
        if let Some(reply_to) = self.0.reply_to.take()
            && let Some(body) = self.0.body.take()
        {
            reply_to.give_back(error, body);
        }
    }

    /// Drops the owed answer without answering.
    pub(super) fn forget(&mut self) {
        if let Some(reply_to) = self.0.reply_to.take() {
            reply_to.forget();
        }
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.0.meta
    }

    pub(crate) fn caller(&self) -> &Caller {
        let source = || self.0.reply_to.as_ref().and_then(ReplyTo::caller);
        let caller = self.0.meta.caller.as_ref().or_else(source);
        caller.unwrap_or(&Caller::LOCAL)
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.requester_has_gone() || self.0.meta.deadline.remaining().is_zero()
    }

    fn requester_has_gone(&self) -> bool {
        self.0.reply_to.as_ref().is_none_or(ReplyTo::is_closed)
    }

    /// Waits until nobody waits for the answer any more.
    pub(crate) async fn abandoned(&mut self) {
        if let Some(reply_to) = &mut self.0.reply_to {
            tokio::select! {
                () = reply_to.closed() => {}
                () = self.0.meta.deadline.passed() => {}
            }
        }
    }

    /// Marks the request as handed out: from now on it may count as executed.
    pub(crate) fn hand_out(&mut self) {
        self.0.stage = RequestStage::HandedOut;
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.0.fence.as_ref().is_some_and(|fence| !fence.admits())
    }

    pub(crate) fn max_reply_bytes(&self) -> usize {
        self.0.max_reply_bytes
    }

    /// Answers with an error. Returns whether somebody waited for the answer.
    pub(crate) fn fail(mut self, error: RequestError) -> bool {
        self.0.reply_to.take().is_some_and(|to| to.fail(error))
    }

    /// Answers with a reply of this length. If there is no room for it, the requester gets an error
    /// that reports this.
    pub(crate) fn reply<R: Message>(mut self, reply: R, length: usize) -> Result<(), LostReply<R>> {
        let Some(reply_to) = self.0.reply_to.take() else {
            return Err(LostReply::RequesterGone(Some(reply)));
        };
        let room = self.0.reply_room.take();
        if room.is_none()
            && let Some(sent) = reply_to.reply_small(&reply, length)
        {
            return sent.map_err(|error| match error {
                NotRepliedSmall::Gone => LostReply::RequesterGone(Some(reply)),
                NotRepliedSmall::NoRoom => LostReply::NoRoom(Some(reply)),
            });
        }
        let reply = Body::value(reply);
        let sent = match room.map(|room| room.take(length + REPLY_BYTES)).transpose() {
            Ok(charge) => reply_to.reply(reply, length, charge),
            Err(BudgetFull) => match reply_to.fail(RequestError::no_reply_room()) {
                true => Err(AnswerNotSent::NoRoom(reply)),
                false => Err(AnswerNotSent::Gone(Ok(reply))),
            },
        };
        sent.map_err(|error| match error {
            AnswerNotSent::Gone(answer) => LostReply::RequesterGone(answer.ok().and_then(unsent)),
            AnswerNotSent::NoRoom(reply) => LostReply::NoRoom(unsent(reply)),
        })
    }
}

/// Returns the reply that was not sent to the actor that gave it.
#[cold]
fn unsent<R: Message>(reply: Body) -> Option<R> {
    reply.into_message().ok()
}

impl Drop for Pending {
    fn drop(&mut self) {
        // The message, whose drop may run code of users, is dropped last.
        self.0.charge = None;
        self.dismiss();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Deadline, Simulation};
    use crate::error::RequestErrorKind as Kind;
    use std::task::{Context, Poll};

    use crate::message::{AnyMessage, EchoMsg};
    use crate::route::AnswerReader;
    use crate::route::request_source::{NotReplied, RequestKey, RequestSource, SourceRequest};
    use crate::route::slab::Slab;
    use crate::route::{Caller, Headers, Incoming, RequestId};
    use std::time::Duration;

    fn incoming(time: Duration) -> (Incoming, AnswerReader) {
        let meta = Meta {
            id: RequestId(1),
            deadline: Deadline::after(time),
            token: None,
            headers: Headers::default(),
            caller: Some(Caller::local()),
        };
        let (reply_to, answer) = ReplyTo::channel();
        let incoming = Incoming::new(Body::value(EchoMsg::default()), meta, 9, reply_to);
        (incoming, answer)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_skipped_after_its_deadline_does_not_blame_the_mailbox() {
        for (time, kind) in [
            (Duration::ZERO, Kind::DeadlineExceeded),
            (Duration::from_secs(1), Kind::MailboxClosed),
        ] {
            let (incoming, answer) = incoming(time);
            drop(incoming);
            let error = answer.await.unwrap().err().unwrap();
            assert_eq!((error.kind(), error.executed()), (kind, Executed::No));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_dropped_after_its_deadline_has_expired() {
        for (time, kind) in [
            (Duration::ZERO, Kind::DeadlineExceeded),
            (Duration::from_secs(1), Kind::NoReply),
        ] {
            let (incoming, answer) = incoming(time);
            let (_, mut pending) = incoming.read::<EchoMsg>().unwrap();
            pending.hand_out();
            drop(pending);
            let error = answer.await.unwrap().err().unwrap();
            assert_eq!(error.kind(), kind);
            assert!(error.may_have_executed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_dropped_during_decoding_is_not_retried() {
        let environment = Simulation::new(1).environment();
        let until = environment.now() + Duration::from_secs(9);
        let (mut incoming, answer) = incoming(Duration::from_secs(1));
        incoming.begin_reading(Arc::new(Fence::new(environment, until, until)));
        drop(incoming);
        let error = answer.await.unwrap().err().unwrap();
        let outcome = (error.kind(), error.executed(), error.is_retryable());
        assert_eq!(outcome, (Kind::InvalidMessage, Executed::No, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_forgotten_request_is_not_answered() {
        let (mut incoming, answer) = incoming(Duration::from_secs(1));
        incoming.forget();
        assert!(answer.await.is_err());
    }

    /// A link on which nobody waits any more.
    struct GoneSource;

    impl RequestSource for GoneSource {
        fn reply(
            &self,
            _: RequestKey,
            reply: Body,
            _: usize,
            _: Option<Charge>,
        ) -> Result<(), NotReplied> {
            Err(NotReplied::Gone(reply))
        }

        fn reply_small(
            &self,
            _: RequestKey,
            _: &dyn AnyMessage,
            _: usize,
        ) -> Result<(), NotRepliedSmall> {
            Err(NotRepliedSmall::Gone)
        }

        fn fail(&self, _: RequestKey, _: &RequestError) -> bool {
            false
        }

        fn caller(&self) -> &Caller {
            &Caller::LOCAL
        }

        fn lacks_reply_room(&self) -> bool {
            false
        }

        fn is_gone(&self, _: RequestKey) -> bool {
            true
        }

        fn poll_gone(&self, _: RequestKey, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }

        fn return_credit(&self, _: u32) {}
    }

    /// Its link's task may be behind.
    #[tokio::test(start_paused = true)]
    async fn a_request_over_a_link_is_not_handed_out_after_its_deadline() {
        let deadline = Deadline::after(Duration::from_secs(1));
        let key = RequestKey {
            place: Slab::new().insert(()),
            sequence: 1,
            deadline,
        };
        let meta = Meta {
            id: RequestId(1),
            deadline,
            token: None,
            headers: Headers::default(),
            caller: None,
        };
        let reply_to = ReplyTo::source(SourceRequest::new(Arc::new(GoneSource), key, 1));
        let incoming = Incoming::new(Body::value(EchoMsg::default()), meta, 9, reply_to);
        assert!(!incoming.is_abandoned());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(incoming.is_abandoned());
    }
}
