use std::sync::Arc;

use papaya::HashMap;
use tokio_util::sync::CancellationToken;

use super::DoorCounters;
use crate::error::RequestErrorKind;
use crate::name::Name;
use crate::route::{Directory, Door, Inbox};
use crate::token::Token;

/// The mailboxes of a peer, by name: what routes look requests up in, and what reserves a name
/// before the registry is asked for it.
#[derive(Default)]
pub(crate) struct Table {
    slots: HashMap<Name, Slot>,
    counters: Arc<DoorCounters>,
}

#[derive(Clone)]
enum Slot {
    Deciding(CancellationToken),
    Open {
        inbox: Arc<dyn Inbox>,
        token: Token,
    },
    /// Closed, and its name not yet free.
    Closing,
}

/// Why a name cannot be reserved.
pub(crate) enum Occupied {
    /// Its registration is being decided; try again when this is cancelled.
    Deciding(CancellationToken),
    /// It is held by this peer; under this token if it is open.
    Held(Option<Token>),
}

impl Table {
    /// Reserves a name; requests to it wait until it is opened or given up.
    pub(crate) fn reserve(self: &Arc<Self>, name: &Name) -> Result<Arc<Reservation>, Occupied> {
        let decided = CancellationToken::new();
        let slots = self.slots.pin();
        match slots.try_insert(name.clone(), Slot::Deciding(decided.clone())) {
            Ok(_) => Ok(Arc::new(Reservation {
                table: self.clone(),
                name: name.clone(),
                decided,
            })),
            Err(occupied) => Err(match occupied.current {
                Slot::Deciding(decided) => Occupied::Deciding(decided.clone()),
                Slot::Open { token, .. } => Occupied::Held(Some(*token)),
                Slot::Closing => Occupied::Held(None),
            }),
        }
    }

    pub(crate) fn counters(&self) -> &Arc<DoorCounters> {
        &self.counters
    }

    /// Takes the mailbox that was registered under this token off the routes; its name stays
    /// reserved. Another one under the name by now is left alone.
    pub(crate) fn close(&self, name: &Name, token: Token) {
        self.slots.pin().update(name.clone(), |slot| match slot {
            Slot::Open { token: open, .. } if *open == token => Slot::Closing,
            other => other.clone(),
        });
    }
}

impl Directory for Table {
    fn find(&self, name: &str) -> Door {
        match self.slots.pin().get(name) {
            Some(Slot::Open { inbox, .. }) => Door::Open(inbox.clone()),
            Some(Slot::Deciding(decided)) => Door::Deciding(decided.clone()),
            Some(Slot::Closing) | None => Door::Absent,
        }
    }

    fn failed(&self, kind: RequestErrorKind) {
        self.counters.failed(kind);
    }
}

/// A reserved name, while its registration is decided and as long as it is held. Dropped, the name
/// is free again.
pub(crate) struct Reservation {
    table: Arc<Table>,
    name: Name,
    decided: CancellationToken,
}

impl Reservation {
    /// Opens the mailbox: requests that waited go to it.
    pub(crate) fn open(&self, inbox: Arc<dyn Inbox>, token: Token) {
        let slot = Slot::Open { inbox, token };
        self.table.slots.pin().insert(self.name.clone(), slot);
        self.decided.cancel();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.table.slots.pin().remove(&self.name);
        self.decided.cancel();
    }
}
