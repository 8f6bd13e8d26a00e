//! The inbox of a mailbox: it checks a request, and queues it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::gate::Gate;
use super::statistics::InboxCounters;
use crate::error::RequestError;
use crate::request::MessageSet;
use crate::route::{Inbox, Incoming, Refused};

/// The inbox of a mailbox whose owner holds the other end of the queue.
pub(super) struct MailboxInbox<S> {
    pub(super) gate: Gate,
    pub(super) queue: mpsc::Sender<S>,
    pub(super) counters: Arc<InboxCounters>,
}

impl<S: MessageSet> Inbox for MailboxInbox<S> {
    fn deliver(&self, mut incoming: Incoming) -> Result<(), Refused> {
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
        let place = match self.queue.try_reserve() {
            Ok(place) => place,
            Err(TrySendError::Full(())) => return Err(incoming.refuse(RequestError::busy())),
            Err(TrySendError::Closed(())) => {
                return Err(incoming.refuse(RequestError::mailbox_closed()));
            }
        };
        incoming.admit(self.gate.fence.clone());
        // One that cannot be read has been answered already, and its place is free again.
        if let Some(set) = S::receive(incoming) {
            // Reading takes time. A mailbox dropped meanwhile leaves nobody who would answer what
            // is queued now; dropped here, it is answered.
            if !self.queue.is_closed() {
                self.counters.admitted.increment();
                place.send(set);
            }
        }
        Ok(())
    }
}
