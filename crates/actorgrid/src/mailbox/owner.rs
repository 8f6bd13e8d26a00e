//! Opens the mailboxes of a server and its actors.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::capacity::MAX_MAILBOX_CAPACITY;
use super::error::MailboxError;
use super::gate::Gate;
use super::held_name::{HeldBy, HeldName};
use super::inbox::MailboxInbox;
use super::mailbox::Mailbox;
use super::mailbox_table::{MailboxOccupied, MailboxTable, Reservation};
use super::receive_turn::ReceiveTurn;
use super::stop::Stop;
use super::waiting_inbox::OpenedMailbox;
use crate::name::Name;
use crate::registry::{Kind, holder};
use crate::request::MessageSet;
use crate::session::{ClaimError, ClaimPlace, Names};
use crate::token::Token;

/// An owner of mailboxes: a server, or one of its actors.
#[derive(Clone)]
pub(crate) struct MailboxOwner {
    pub(crate) names: Names,
    pub(crate) table: Arc<MailboxTable>,
    pub(crate) stop: Arc<Stop>,
    /// Tracks the requests that the owner's mailboxes have admitted; `None` if nobody waits for
    /// them to end. (A shutdown waits for the end of the actors themselves instead.)
    pub(crate) requests: Option<TaskTracker>,
}

impl MailboxOwner {
    /// Registers a mailbox and opens it.
    ///
    /// Cancel safe: dropping the future releases what was registered.
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
            .claim(
                &[(Kind::Mailbox, &name)],
                ClaimPlace::Any,
                reservation.clone(),
            )
            .await
            .map_err(|error| {
                if let ClaimError::InDoubt(_) = &error {
                    reservation.give_up();
                }
                MailboxError::of_claim(&name, error, &self.names)
            })?;
        let token = self.names.token_at(held.revision());
        Ok(self.build(&reservation, name, token, capacity, HeldBy::Mailbox(held)))
    }

    /// Reserves a name in the table. If another reservation of the name is still undecided, waits
    /// for its outcome.
    pub(crate) async fn reserve(&self, name: &Name) -> Result<Arc<Reservation>, MailboxError> {
        loop {
            match self.table.reserve(name) {
                Ok(reservation) => return Ok(reservation),
                Err(MailboxOccupied::Deciding(waiting)) => waiting.decided().await,
                Err(MailboxOccupied::Held(token)) => {
                    let peer = self.names.identity().peer().clone();
                    return Err(MailboxError::taken(name, Some(peer), token));
                }
            }
        }
    }

    /// Opens a mailbox whose name is already registered.
    pub(crate) fn build<S: MessageSet>(
        &self,
        reservation: &Reservation,
        name: Name,
        token: Token,
        capacity: usize,
        held_by: HeldBy,
    ) -> Mailbox<S> {
        let gate = Gate {
            stop: self.stop.clone(),
            token,
        };
        let (queue, counters) = (reservation.queue().clone(), self.table.counters().clone());
        let opened = OpenedMailbox {
            token,
            capacity,
            accepts: S::accepts,
            requests: self.requests.clone(),
        };
        let inbox = Arc::new(MailboxInbox::new(
            gate,
            queue,
            counters,
            opened.requests.clone(),
        ));
        reservation.open(inbox.clone(), opened);
        Mailbox {
            place: self.stop.join(),
            inbox,
            name: HeldName::new(self.table.clone(), name, token, held_by),
            turn: ReceiveTurn::new(),
        }
    }
}

/// Checks that a queue can have this capacity.
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
                Self::taken(name, holder(&entry), Some(token))
            }
            ClaimError::Fenced => Self::stopping(),
            ClaimError::Registry(error) | ClaimError::InDoubt(error) => Self::registry(error),
        }
    }
}
