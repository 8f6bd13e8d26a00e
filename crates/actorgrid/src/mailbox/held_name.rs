//! The name of a mailbox, for as long as it is held.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::mailbox_table::{MailboxTable, Reservation};
use crate::name::Name;
use crate::session::HeldClaim;
use crate::token::Token;

/// The holder of a mailbox's name.
pub(crate) enum HeldBy {
    /// The mailbox; the name is released with it.
    Mailbox(HeldClaim),
    /// The actor whose type declares the mailbox; the name stays reserved until the actor's names
    /// are free.
    Actor,
    /// The session; this is the peer's own mailbox.
    Session(#[allow(dead_code)] Arc<Reservation>),
}

/// A mailbox's name while it is held: its entry in the table, and its holder.
pub(super) struct HeldName {
    table: Arc<MailboxTable>,
    name: Name,
    token: Token,
    held_by: HeldBy,
    freed: Option<oneshot::Sender<()>>,
}

impl HeldName {
    pub(super) fn new(table: Arc<MailboxTable>, name: Name, token: Token, held_by: HeldBy) -> Self {
        Self {
            table,
            name,
            token,
            held_by,
            freed: None,
        }
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// Returns a signal that the name is free, if the mailbox itself holds it. A signal that closes
    /// without a value means that the name is free, too: the session is gone.
    pub(super) fn freed(&mut self) -> Option<oneshot::Receiver<()>> {
        let HeldBy::Mailbox(_) = &self.held_by else {
            return None;
        };
        let (sender, receiver) = oneshot::channel();
        self.freed = Some(sender);
        Some(receiver)
    }
}

impl Drop for HeldName {
    fn drop(&mut self) {
        self.table.close(&self.name, self.token);
        if let HeldBy::Mailbox(held) = &mut self.held_by
            && let Some(freed) = self.freed.take()
        {
            held.on_free(move || {
                let _ = freed.send(());
            });
        }
    }
}
