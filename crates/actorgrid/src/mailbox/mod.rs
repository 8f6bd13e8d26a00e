//! Mailboxes: grid-unique names that receive requests, with bounded queues.

mod error;
mod inbox;
mod statistics;
mod stop;
mod table;

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::name::Name;
use crate::registry::Kind;
use crate::request::MessageSet;
use crate::route::Inbox;
use crate::session::{ClaimError, Held, Names};
use crate::token::Token;

pub use error::{MailboxError, MailboxErrorKind};
pub(crate) use statistics::DoorCounters;
pub(crate) use stop::Stop;
pub use stop::{StopReason, Stopping};
pub(crate) use table::{Occupied, Reservation, Table};

use inbox::{Entrance, Gate};

/// The largest capacity of a mailbox. A queue that long holds minutes of work: whoever waits at
/// its end has given up.
pub const MAX_MAILBOX_CAPACITY: usize = 1 << 20;

/// The receiving end of a grid-unique name.
///
/// It holds up to its capacity of requests; one more is refused as busy. Dropped, it closes: what
/// is queued is answered ([`MailboxClosed`](crate::RequestErrorKind::MailboxClosed)) and its name
/// is released.
pub struct Mailbox<S: MessageSet> {
    // The queue first: it is closed before the name is given up.
    queue: mpsc::Receiver<S>,
    gate: Gate,
    registered: Registered,
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
        &self.registered.name
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
        let freed = self.registered.freed();
        drop(self);
        if let Some(freed) = freed {
            // An error means freed, too: the one who would have told is gone with the session.
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

/// What holds the name of a mailbox.
pub(crate) enum Hold {
    /// The mailbox: it is released with it.
    Own(Held),
    /// The actor whose type declares it: it stays reserved until the actor's names are free.
    Actor,
    /// The session: a peer's own mailbox.
    Session(#[allow(dead_code)] Arc<Reservation>),
}

/// A mailbox's place in the table, and what holds its name.
struct Registered {
    table: Arc<Table>,
    name: Name,
    token: Token,
    hold: Hold,
    freed: Option<oneshot::Sender<()>>,
}

impl Registered {
    fn freed(&mut self) -> Option<oneshot::Receiver<()>> {
        let Hold::Own(_) = &self.hold else {
            return None;
        };
        let (sender, receiver) = oneshot::channel();
        self.freed = Some(sender);
        Some(receiver)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.table.close(&self.name, self.token);
        if let Hold::Own(held) = &mut self.hold
            && let Some(freed) = self.freed.take()
        {
            held.on_free(move || {
                let _ = freed.send(());
            });
        }
    }
}

/// Who opens mailboxes: a server, or one of its actors.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) names: Names,
    pub(crate) table: Arc<Table>,
    pub(crate) stop: Arc<Stop>,
}

impl Owner {
    /// Registers a mailbox and opens it.
    ///
    /// Cancel safe: what was registered by then is released.
    pub(crate) async fn open<S: MessageSet>(
        &self,
        name: Name,
        capacity: usize,
    ) -> Result<Mailbox<S>, MailboxError> {
        check_capacity(capacity)?;
        let reservation = self.reserve(&name).await?;
        if self.stop.is_asked() || !self.names.fence().admits() {
            return Err(MailboxError::stopping());
        }
        let held = self
            .names
            .claim(&[(Kind::Mailbox, &name)], reservation.clone())
            .await
            .map_err(|error| MailboxError::of_claim(&name, error, &self.names))?;
        let token = self.names.token_at(held.revision());
        Ok(self.build(&reservation, name, token, capacity, Hold::Own(held)))
    }

    /// Reserves a name in the table, waiting while somebody else's reservation is being decided.
    pub(crate) async fn reserve(&self, name: &Name) -> Result<Arc<Reservation>, MailboxError> {
        loop {
            match self.table.reserve(name) {
                Ok(reservation) => return Ok(reservation),
                Err(Occupied::Deciding(decided)) => decided.cancelled().await,
                Err(Occupied::Held(token)) => {
                    let peer = self.names.identity().peer().clone();
                    return Err(MailboxError::taken(name, Some(peer), token));
                }
            }
        }
    }

    /// Opens a mailbox whose name is registered.
    pub(crate) fn build<S: MessageSet>(
        &self,
        reservation: &Reservation,
        name: Name,
        token: Token,
        capacity: usize,
        hold: Hold,
    ) -> Mailbox<S> {
        let (sender, queue) = mpsc::channel(capacity);
        let gate = Gate {
            fence: self.names.fence().clone(),
            stop: self.stop.clone(),
            token,
        };
        let inbox: Arc<dyn Inbox> = Arc::new(Entrance {
            gate: gate.clone(),
            queue: sender,
            counters: self.table.counters().clone(),
        });
        reservation.open(inbox, token);
        let registered = Registered {
            table: self.table.clone(),
            name,
            token,
            hold,
            freed: None,
        };
        Mailbox {
            queue,
            gate,
            registered,
        }
    }
}

/// A capacity that a queue can have.
pub(crate) fn check_capacity(capacity: usize) -> Result<(), MailboxError> {
    if (1..=MAX_MAILBOX_CAPACITY).contains(&capacity) {
        Ok(())
    } else {
        Err(MailboxError::capacity(capacity))
    }
}

impl MailboxError {
    fn of_claim(name: &Name, error: ClaimError, names: &Names) -> Self {
        match error {
            ClaimError::Taken(entry) => {
                let token = names.token_at(entry.created);
                Self::taken(name, crate::registry::holder(&entry), Some(token))
            }
            ClaimError::Fenced => Self::stopping(),
            ClaimError::Registry(error) => Self::registry(error),
        }
    }
}
