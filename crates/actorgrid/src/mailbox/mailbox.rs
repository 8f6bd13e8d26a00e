//! The receiving end of a mailbox, as its owner holds it.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use super::held_name::HeldName;
use super::inbox::MailboxInbox;
use super::queue::Popped;
use super::receive_turn::ReceiveTurn;
use super::token_expired::TokenExpired;
use crate::error::RequestError;
use crate::name::Name;
use crate::request::MessageSet;
use crate::route::Incoming;
use crate::token::Token;
use crate::wake_list::WakePlace;

/// The receiving end of a grid-unique name.
///
/// It holds up to its capacity of requests, and rejects further ones as busy. Requests that waited
/// while its name was being registered come first, up to 1,024 of them even beyond its capacity. A
/// request that nobody waits for any more (its requester is gone, or its deadline has passed) frees
/// its place at once. Messages are decoded when they are handed out. Dropping the mailbox closes
/// it: queued requests are answered with [`MailboxClosed`](crate::RequestErrorKind::MailboxClosed),
/// and its name is released.
pub struct Mailbox<S: MessageSet> {
    pub(super) inbox: Arc<MailboxInbox<S>>,
    pub(super) name: HeldName,
    /// Its place among the tasks that wait for the owner's end or the fence. Kept, so that waiting
    /// takes no lock.
    pub(super) place: WakePlace,
    pub(super) turn: ReceiveTurn,
}

impl<S: MessageSet> Mailbox<S> {
    /// Waits for the next request.
    ///
    /// Returns `None` when no more will come. Once the owner is asked to stop, no requests are
    /// admitted any more, and the queued ones are handed out first; once the peer is fenced, queued
    /// requests are answered and not handed out. Requests that nobody waits for any more are
    /// skipped. So are requests whose messages cannot be decoded, or panic while they are decoded,
    /// after being answered with [`InvalidMessage`](crate::RequestErrorKind::InvalidMessage).
    ///
    /// # Cancel safety
    ///
    /// No request is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<S> {
        loop {
            self.turn.next().await;
            let incoming = match self.inbox.queue.pop() {
                Popped::Next(incoming) => incoming,
                Popped::Empty => {
                    self.turn.begin();
                    self.wait().await?
                }
                Popped::Ended => return None,
            };
            if self.inbox.gate.is_closed() {
                self.inbox.dismiss(incoming);
                self.reject();
                return None;
            }
            if incoming.is_abandoned() {
                // Usually the route has already withdrawn it.
                self.inbox.dismiss(incoming);
            } else if incoming.lacks_reply_room() {
                // Better to reject it than to execute it for nothing.
                incoming.reject(RequestError::replies_not_taken());
            } else if let Some(set) = self.read(incoming) {
                return Some(set);
            }
        }
    }

    /// Waits for the next request, or for the end of the mailbox.
    async fn wait(&mut self) -> Option<Incoming> {
        let Self { inbox, place, .. } = self;
        let MailboxInbox { gate, queue, .. } = &**inbox;
        let stop = &gate.stop;
        let next = poll_fn(|cx| {
            place.register(cx);
            if stop.is_ended() || stop.fence().is_fenced() {
                return Poll::Ready(None);
            }
            if stop.is_asked() {
                queue.close();
            }
            queue.poll_pop(cx)
        });
        let next = next.await;
        if next.is_none() {
            self.reject();
        }
        next
    }

    /// Decodes a request whose turn has come.
    fn read(&self, mut incoming: Incoming) -> Option<S> {
        incoming.begin_reading(self.inbox.gate.fence().clone());
        // Decoding runs the message's code. If that panics, the request has been answered.
        let read = catch_unwind(AssertUnwindSafe(|| {
            let mut set = S::receive(incoming)?;
            set.pending().hand_out();
            Some(set)
        }));
        read.unwrap_or_else(|_| {
            tracing::error!(mailbox = %self.name(), "reading a message panicked");
            None
        })
    }

    /// Answers the queued requests, and closes the queue.
    fn reject(&self) {
        self.inbox.queue.close();
        while let Popped::Next(incoming) = self.inbox.queue.pop() {
            self.inbox.dismiss(incoming);
        }
    }

    /// Returns the mailbox's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.name.name()
    }

    /// Returns the fencing token of the mailbox's registration: see
    /// [`ActorContext::token`](crate::ActorContext::token).
    ///
    /// # Errors
    ///
    /// Returns [`TokenExpired`] if the peer is fenced, or if the actor or server that owns the
    /// mailbox has ended.
    pub fn token(&self) -> Result<Token, TokenExpired> {
        let gate = &self.inbox.gate;
        gate.stop.current(gate.token)
    }

    /// Returns the number of queued requests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inbox.queue.len()
    }

    /// Whether no request is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes the mailbox and waits until its name is free. A declared mailbox's name becomes free
    /// only when its actor has ended; for such a mailbox this returns at once.
    ///
    /// # Cancel safety
    ///
    /// The mailbox closes even if the future is dropped.
    pub async fn close(mut self) {
        let freed = self.name.freed();
        drop(self);
        if let Some(freed) = freed {
            // An error means that the name is free, too: the sender is gone with the session.
            let _ = freed.await;
        }
    }
}

impl<S: MessageSet> Drop for Mailbox<S> {
    fn drop(&mut self) {
        // Must run before the name is released.
        self.reject();
    }
}

impl<S: MessageSet> fmt::Debug for Mailbox<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("name", self.name())
            .field("token", &self.inbox.gate.token)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
