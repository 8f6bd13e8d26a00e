//! The inbox of a mailbox: it checks a request, and queues it.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::gate::Gate;
use super::queue::{NotQueued, Queue};
use super::statistics::InboxCounters;
use crate::error::RequestError;
use crate::request::MessageSet;
use crate::route::{Inbox, Incoming, QueuePlace, Refused};

/// The inbox of a mailbox, which its owner empties.
pub(super) struct MailboxInbox<S> {
    pub(super) gate: Gate,
    /// Messages are queued as they came, and read when they are handed out.
    pub(super) queue: Queue<Incoming>,
    pub(super) counters: Arc<InboxCounters>,
    set: PhantomData<fn() -> S>,
}

impl<S: MessageSet> MailboxInbox<S> {
    pub(super) fn new(gate: Gate, capacity: usize, counters: Arc<InboxCounters>) -> Self {
        Self {
            gate,
            queue: Queue::new(capacity),
            counters,
            set: PhantomData,
        }
    }
}

impl<S: MessageSet> Inbox for MailboxInbox<S> {
    fn deliver(&self, incoming: Incoming) -> Result<QueuePlace, Refused> {
        if incoming
            .meta()
            .token
            .is_some_and(|token| token != self.gate.token)
        {
            return Err(incoming.refuse(RequestError::not_held("under this token")));
        }
        if !self.gate.admits() {
            return Err(incoming.refuse(RequestError::mailbox_closed()));
        }
        if !S::accepts(incoming.wire_name()) {
            let error = RequestError::unknown_message(incoming.wire_name());
            return Err(incoming.refuse(error));
        }
        match self.queue.push(incoming) {
            Ok(place) => {
                self.counters.admitted.increment();
                Ok(place)
            }
            Err(NotQueued::Full(incoming)) => Err(incoming.refuse(RequestError::busy())),
            Err(NotQueued::Closed(incoming)) => {
                Err(incoming.refuse(RequestError::mailbox_closed()))
            }
        }
    }

    fn withdraw(&self, place: QueuePlace) {
        let Some(incoming) = self.queue.remove(place) else {
            return;
        };
        if incoming.meta().deadline.remaining().is_zero() {
            self.counters.expired.increment();
        } else {
            self.counters.abandoned.increment();
        }
        discard(|| incoming.forget());
    }

    fn is_full(&self) -> bool {
        self.queue.is_full()
    }
}

/// Drops a request that is not handed out. Its message is the user's, and may panic then.
pub(super) fn discard(drop: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(drop)).is_err() {
        tracing::error!("dropping a request that was queued panicked");
    }
}
