//! The inbox of a mailbox: checks requests and queues them.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::gate::Gate;
use super::queue::{NotQueued, Queue};
use super::statistics::InboxCounters;
use crate::error::RequestError;
use crate::request::MessageSet;
use crate::route::{Inbox, Incoming, NotDelivered, QueuePlace};

/// Takes the place of the mailbox's name in the error for a request that expects a token other than
/// the mailbox's.
pub(super) const OTHER_TOKEN: &str = "under this token";

/// The inbox of a mailbox. The mailbox's owner takes the requests out of its queue.
pub(super) struct MailboxInbox<S> {
    pub(super) gate: Gate,
    /// Messages are queued as they arrive, and decoded when they are handed out.
    pub(super) queue: Arc<Queue<Incoming>>,
    pub(super) counters: Arc<InboxCounters>,
    /// Tracks the admitted requests until they end; `None` if the owner does not wait for them.
    requests: Option<TaskTracker>,
    set: PhantomData<fn() -> S>,
}

impl<S: MessageSet> MailboxInbox<S> {
    pub(super) fn new(
        gate: Gate,
        queue: Arc<Queue<Incoming>>,
        counters: Arc<InboxCounters>,
        requests: Option<TaskTracker>,
    ) -> Self {
        Self {
            gate,
            queue,
            counters,
            requests,
            set: PhantomData,
        }
    }

    /// Drops a queued request instead of handing it out. If the requester still waits, it gets an
    /// error, which the route counts; otherwise the request is counted here, as expired or
    /// abandoned.
    pub(super) fn dismiss(&self, incoming: Incoming) {
        dismiss(incoming, &self.counters);
    }
}

fn dismiss(mut incoming: Incoming, counters: &InboxCounters) {
    if !incoming.dismiss() {
        counters.left_queue(incoming.meta().deadline);
    }
    dispose(|| drop(incoming));
}

/// Runs code that may drop a message, and logs a panic: a message's `Drop` is user code.
pub(super) fn dispose(drops: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(drops)).is_err() {
        tracing::error!("dropping a queued request panicked");
    }
}

/// Drops a request that nobody waits for any more, if it is still queued. Returns whether it was
/// queued.
pub(super) fn withdraw(
    queue: &Queue<Incoming>,
    place: QueuePlace,
    counters: &InboxCounters,
) -> bool {
    let Some(mut incoming) = queue.remove(place) else {
        return false;
    };
    incoming.forget();
    dismiss(incoming, counters);
    true
}

impl<S: MessageSet> Inbox for MailboxInbox<S> {
    fn deliver(&self, mut incoming: Incoming) -> Result<QueuePlace, NotDelivered> {
        if incoming.expects_another_than(self.gate.token) {
            return Err(incoming.refuse(RequestError::not_held(OTHER_TOKEN)).into());
        }
        // On other routes the message of a request that is rejected later is lost, so the clock is
        // asked now.
        if !self.gate.admits() || !incoming.is_linked() && self.gate.is_closed() {
            return Err(incoming.refuse(RequestError::mailbox_closed()).into());
        }
        if !S::accepts(incoming.wire_name()) {
            let error = RequestError::unknown_message(incoming.wire_name());
            return Err(incoming.refuse(error).into());
        }
        if let Some(requests) = &self.requests {
            incoming.await_end(requests.token());
        }
        match self.queue.push(incoming) {
            Ok(place) => {
                self.counters.admitted.increment();
                Ok(place)
            }
            Err(NotQueued::Full(incoming)) => Err(incoming.refuse(RequestError::busy()).into()),
            Err(NotQueued::Closed(incoming)) => {
                Err(incoming.refuse(RequestError::mailbox_closed()).into())
            }
        }
    }

    fn withdraw(&self, place: QueuePlace) -> bool {
        withdraw(&self.queue, place, &self.counters)
    }

    fn is_full(&self) -> bool {
        self.queue.is_full()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::environment::{Deadline, Environment, Simulation};
    use crate::error::{Executed, RequestErrorKind};
    use crate::mailbox::Stop;
    use crate::mailbox::queue::Popped;
    use crate::message::{Body, EchoMsg};
    use crate::request::Request;
    use crate::revision::Revision;
    use crate::route::{AnswerReader, Caller, Headers, Meta, ReplyTo, RequestId};
    use crate::session::Fence;
    use crate::token::{ClusterId, Token};

    const TIME: Duration = Duration::from_secs(1);
    const SESSION_TIME: Duration = Duration::from_secs(60);

    type TestInbox = MailboxInbox<Request<EchoMsg>>;

    fn inbox(environment: &Environment) -> TestInbox {
        let until = environment.now() + SESSION_TIME;
        let fence = Arc::new(Fence::new(environment.clone(), until, until));
        let gate = Gate {
            stop: Arc::new(Stop::new(&fence)),
            token: Token::new(ClusterId(1), Revision::new(1)),
        };
        let queue = Queue::new(1);
        queue.open(9, |_| false);
        MailboxInbox::new(gate, Arc::new(queue), Arc::default(), None)
    }

    /// A request over a route other than a link, and its answer.
    fn incoming() -> (Incoming, AnswerReader) {
        let meta = Meta {
            id: RequestId(1),
            deadline: Deadline::after(TIME),
            token: None,
            headers: Headers::default(),
            caller: Some(Caller::local()),
        };
        let (reply_to, answer) = ReplyTo::channel();
        let incoming = Incoming::new(Body::value(EchoMsg::default()), meta, 9, reply_to);
        (incoming, answer)
    }

    fn deliver(inbox: &TestInbox) -> (QueuePlace, AnswerReader) {
        let (incoming, answer) = incoming();
        (inbox.deliver(incoming).unwrap(), answer)
    }

    /// Returns the counts of expired and abandoned requests.
    fn counted(inbox: &TestInbox) -> (u64, u64) {
        let counters = &inbox.counters;
        (counters.expired.get(), counters.abandoned.get())
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_request_is_counted_the_same_wherever_it_is_found() {
        let environment = Simulation::new(1).environment();
        for (passes, expected) in [(Duration::ZERO, (0, 1)), (TIME, (1, 0))] {
            let withdrawn = inbox(&environment);
            let (place, _waits) = deliver(&withdrawn);
            environment.sleep(passes).await;
            assert!(withdrawn.withdraw(place));
            assert!(!withdrawn.withdraw(place), "it was already withdrawn");

            let skipped = inbox(&environment);
            let (_, waits) = deliver(&skipped);
            environment.sleep(passes).await;
            drop(waits);
            let Popped::Next(incoming) = skipped.queue.pop() else {
                panic!("nothing is queued");
            };
            skipped.dismiss(incoming);
            assert_eq!([counted(&withdrawn), counted(&skipped)], [expected; 2]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_over_a_link_is_given_back_once_the_clock_has_passed_the_fence() {
        let environment = Simulation::new(1).environment();
        let inbox = inbox(&environment);
        environment.sleep(SESSION_TIME).await;
        assert!(!inbox.gate.fence().is_fenced(), "nobody has noticed");
        let (incoming, _answer) = incoming();
        let Err(NotDelivered::Refused(refused)) = inbox.deliver(incoming) else {
            panic!("it was queued");
        };
        assert_eq!(refused.error.kind(), RequestErrorKind::MailboxClosed);
        assert!(refused.body.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_requester_that_still_waits_is_answered_and_not_counted_here() {
        let environment = Simulation::new(1).environment();
        for (passes, kind) in [
            (Duration::ZERO, RequestErrorKind::MailboxClosed),
            (TIME, RequestErrorKind::DeadlineExceeded),
        ] {
            let inbox = inbox(&environment);
            let (place, answer) = deliver(&inbox);
            environment.sleep(passes).await;
            let Popped::Next(incoming) = inbox.queue.pop() else {
                panic!("nothing is queued");
            };
            inbox.dismiss(incoming);
            let error = answer.await.unwrap().err().unwrap();
            assert_eq!((error.kind(), error.executed()), (kind, Executed::No));
            assert_eq!(counted(&inbox), (0, 0));
            assert!(!inbox.withdraw(place), "it has left the queue");
        }
    }
}
