//! Requests to a name whose registration is being decided.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::inbox::{OTHER_TOKEN, dispose, withdraw};
use super::queue::{NotQueued, Popped, Queue};
use super::statistics::InboxCounters;
use crate::error::RequestError;
use crate::name::Name;
use crate::once_event::OnceEvent;
use crate::route::{Inbox, Incoming, NotDelivered, QueuePlace};
use crate::token::Token;

/// The number of requests that can wait while one name is being decided. A claim takes some
/// milliseconds, and up to the claimant's patience where the registry is slow: one busy caller
/// sends this many meanwhile, and they take some 300 KB besides their messages. Further ones are
/// rejected as busy.
const MAX_WAITING: usize = 1024;

/// The inbox of a name while its registration is being decided. Its queue becomes the mailbox's, so
/// that no waiting request is moved and none is overtaken.
pub(crate) struct WaitingInbox {
    queue: Arc<Queue<Incoming>>,
    counters: Arc<InboxCounters>,
    decided: OnceEvent,
}

/// How an opening mailbox treats the requests that waited for it.
pub(super) struct OpenedMailbox {
    pub(super) token: Token,
    pub(super) capacity: usize,
    /// Whether the mailbox accepts messages of a wire name.
    pub(super) accepts: fn(&str) -> bool,
    /// Counts the admitted requests, if the owner waits for them when it ends.
    pub(super) requests: Option<TaskTracker>,
}

impl WaitingInbox {
    pub(super) fn new(counters: Arc<InboxCounters>) -> Self {
        Self {
            queue: Arc::new(Queue::new(MAX_WAITING)),
            counters,
            decided: OnceEvent::default(),
        }
    }

    /// The registration of the name is decided.
    pub(super) fn decide(&self) {
        self.decided.happen();
    }

    /// Waits until the registration of the name is decided. Cancel safe.
    pub(super) async fn decided(&self) {
        self.decided.happened().await;
    }

    pub(super) fn queue(&self) -> &Arc<Queue<Incoming>> {
        &self.queue
    }

    /// Opens the mailbox after its name is won. The waiting requests are now queued in it, except
    /// those that expect another token or carry a message that it does not accept.
    ///
    /// The name already resolves to the mailbox: a request that comes too late to wait finds it
    /// there.
    pub(super) fn open(&self, opened: OpenedMailbox) {
        let OpenedMailbox {
            token,
            capacity,
            accepts,
            requests,
        } = opened;
        let is_other = |incoming: &Incoming| incoming.expects_another_than(token);
        let is_foreign = |incoming: &mut Incoming| {
            let is_foreign = is_other(incoming) || !accepts(incoming.wire_name());
            if let (false, Some(requests)) = (is_foreign, &requests) {
                incoming.await_end(requests.token());
            }
            is_foreign
        };
        for incoming in self.queue.open(capacity, is_foreign) {
            let error = match is_other(&incoming) {
                true => RequestError::not_held(OTHER_TOKEN),
                false => RequestError::unknown_message(incoming.wire_name()),
            };
            dispose(|| incoming.give_back(error));
        }
    }

    /// Answers the waiting requests because the name is lost, unless it was won before.
    ///
    /// The name no longer resolves to this inbox: for a request that comes too late to wait, it is
    /// resolved again.
    pub(super) fn abandon(&self, name: &Name) {
        if !self.queue.abandon() {
            return;
        }
        while let Popped::Next(incoming) = self.queue.pop() {
            dispose(|| incoming.give_back(RequestError::not_held(name.as_str())));
        }
    }
}

impl Inbox for WaitingInbox {
    fn deliver(&self, incoming: Incoming) -> Result<QueuePlace, NotDelivered> {
        match self.queue.push_waiting(incoming) {
            Ok(place) => {
                self.counters.admitted.increment();
                Ok(place)
            }
            Err(NotQueued::Full(incoming)) => Err(incoming.refuse(RequestError::busy()).into()),
            Err(NotQueued::Closed(incoming)) => Err(NotDelivered::Moved(Box::new(incoming))),
        }
    }

    fn withdraw(&self, place: QueuePlace) -> bool {
        withdraw(&self.queue, place, &self.counters)
    }

    fn is_full(&self) -> bool {
        self.queue.is_full()
    }
}
