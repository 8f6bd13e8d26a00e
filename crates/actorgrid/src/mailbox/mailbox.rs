//! The receiving end of a mailbox, as its owner holds it.

use std::fmt;

use tokio::sync::mpsc;

use super::gate::Gate;
use super::held_name::HeldName;
use crate::name::Name;
use crate::request::MessageSet;
use crate::token::Token;

/// The receiving end of a grid-unique name.
///
/// It holds up to its capacity of requests; one more is refused as busy. Dropped, it closes: what
/// is queued is answered ([`MailboxClosed`](crate::RequestErrorKind::MailboxClosed)) and its name
/// is released.
pub struct Mailbox<S: MessageSet> {
    // The queue first: it is closed before the name is given up.
    pub(super) queue: mpsc::Receiver<S>,
    pub(super) gate: Gate,
    pub(super) name: HeldName,
}

impl<S: MessageSet> Mailbox<S> {
    /// The next request.
    ///
    /// `None` when no more will come. Once the owner is asked to stop, nothing is admitted any
    /// more and what is queued is handed out first; once the peer is fenced, what is queued is
    /// answered and not handed out. Requests whose requester has gone are skipped.
    ///
    /// # Cancel safety
    ///
    /// No request is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<S> {
        // A queue that is never empty must not keep the thread from others.
        tokio::task::consume_budget().await;
        loop {
            if self.gate.is_closed() {
                self.reject();
                return None;
            }
            let mut set = match self.queue.try_recv() {
                Ok(set) => set,
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => self.wait().await?,
            };
            // The clock again: the process may have been stopped while it waited.
            if self.gate.is_closed() {
                drop(set);
                continue;
            }
            let pending = set.pending();
            if !pending.is_abandoned() {
                pending.hand_out();
                return Some(set);
            }
        }
    }

    /// Waits for the next request or for what ends the mailbox.
    async fn wait(&mut self) -> Option<S> {
        let Gate { fence, stop, .. } = &self.gate;
        loop {
            tokio::select! {
                biased;
                () = fence.fenced().cancelled() => break,
                () = stop.ended().cancelled() => break,
                () = stop.asked().cancelled(), if !self.queue.is_closed() => self.queue.close(),
                set = self.queue.recv() => return set,
            }
        }
        self.reject();
        None
    }

    /// Answers what is queued, and takes no more.
    fn reject(&mut self) {
        self.queue.close();
        while self.queue.try_recv().is_ok() {}
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.name.name()
    }

    /// The token of its registration.
    #[must_use]
    pub fn token(&self) -> Token {
        self.gate.token
    }

    /// Requests that are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no request is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Closes the mailbox and waits until its name is free. An actor's declared mailbox is free
    /// when its actor has ended; then this returns at once.
    ///
    /// # Cancel safety
    ///
    /// It closes all the same.
    pub async fn close(mut self) {
        let freed = self.name.freed();
        drop(self);
        if let Some(freed) = freed {
            // An error means freed, too: the sender is gone with the session.
            let _ = freed.await;
        }
    }
}

impl<S: MessageSet> fmt::Debug for Mailbox<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("name", self.name())
            .field("token", &self.token())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
