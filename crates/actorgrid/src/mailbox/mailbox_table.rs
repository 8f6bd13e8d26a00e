//! The mailboxes of a peer, by name.

use std::sync::Arc;

use foldhash::fast::RandomState;
use papaya::HashMap;

use super::queue::Queue;
use super::statistics::InboxCounters;
use super::waiting_inbox::{OpenedMailbox, WaitingInbox};
use crate::error::RequestErrorKind;
use crate::name::Name;
use crate::route::{Directory, Inbox, Incoming, Resolved};
use crate::token::Token;

/// The mailboxes of a peer, by name. Routes look up the receivers of requests here, and a name is
/// reserved here before it is claimed in the registry.
#[derive(Default)]
pub(crate) struct MailboxTable {
    entries: HashMap<Name, TableEntry, RandomState>,
    counters: Arc<InboxCounters>,
}

#[derive(Clone)]
enum TableEntry {
    Deciding(Arc<WaitingInbox>),
    Open {
        inbox: Arc<dyn Inbox>,
        token: Token,
    },
    /// The mailbox is closed, and its name not yet free.
    Closing,
}

/// Why a name cannot be reserved.
pub(crate) enum MailboxOccupied {
    /// Its registration is being decided; try again when that is done.
    Deciding(Arc<WaitingInbox>),
    /// This peer holds it; under this token if the mailbox is open.
    Held(Option<Token>),
}

impl MailboxTable {
    /// Reserves a name. Requests to it wait, in order, until its mailbox is opened or abandoned.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        name: &Name,
    ) -> Result<Arc<Reservation>, MailboxOccupied> {
        let waiting = Arc::new(WaitingInbox::new(self.counters.clone()));
        let entry = TableEntry::Deciding(waiting.clone());
        let entries = self.entries.pin();
        match entries.try_insert(name.clone(), entry) {
            Ok(_) => Ok(Arc::new(Reservation {
                table: self.clone(),
                name: name.clone(),
                waiting,
            })),
            Err(occupied) => Err(match occupied.current {
                TableEntry::Deciding(waiting) => MailboxOccupied::Deciding(waiting.clone()),
                TableEntry::Open { token, .. } => MailboxOccupied::Held(Some(*token)),
                TableEntry::Closing => MailboxOccupied::Held(None),
            }),
        }
    }

    pub(crate) fn counters(&self) -> &Arc<InboxCounters> {
        &self.counters
    }

    /// Removes the mailbox that was registered under this token from the routes; its name stays
    /// reserved. Does nothing if another mailbox has the name by now.
    pub(crate) fn close(&self, name: &Name, token: Token) {
        self.entries
            .pin()
            .update(name.clone(), |entry| match entry {
                TableEntry::Open { token: open, .. } if *open == token => TableEntry::Closing,
                other => other.clone(),
            });
    }
}

impl Directory for MailboxTable {
    fn resolve(&self, name: &str) -> Resolved {
        match self.entries.pin().get(name) {
            Some(TableEntry::Open { inbox, .. }) => Resolved::Inbox(inbox.clone()),
            Some(TableEntry::Deciding(waiting)) => Resolved::Inbox(waiting.clone()),
            Some(TableEntry::Closing) | None => Resolved::Absent,
        }
    }

    fn failed(&self, kind: RequestErrorKind) {
        self.counters.failed(kind);
    }
}

/// A reserved name, while its registration is decided and for as long as it is held. Dropping it
/// frees the name.
pub(crate) struct Reservation {
    table: Arc<MailboxTable>,
    name: Name,
    waiting: Arc<WaitingInbox>,
}

impl Reservation {
    /// Returns the queue in which requests wait; it becomes the mailbox's.
    pub(super) fn queue(&self) -> &Arc<Queue<Incoming>> {
        self.waiting.queue()
    }

    /// Opens the mailbox. Requests that waited come first, even if there are more than its
    /// capacity.
    pub(super) fn open(&self, inbox: Arc<dyn Inbox>, opened: OpenedMailbox) {
        let token = opened.token;
        let entry = TableEntry::Open { inbox, token };
        self.table.entries.pin().insert(self.name.clone(), entry);
        self.waiting.open(opened);
        self.waiting.decide();
    }

    /// Abandons the mailbox before it was opened, though its name is not free yet: nothing waits
    /// for it any more, and the waiting requests are answered.
    pub(crate) fn give_up(&self) {
        let entries = self.table.entries.pin();
        entries.insert(self.name.clone(), TableEntry::Closing);
        self.waiting.abandon(&self.name);
        self.waiting.decide();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.table.entries.pin().remove(&self.name);
        self.waiting.abandon(&self.name);
        self.waiting.decide();
    }
}
