//! A mailbox that each actor of a type has, registered together with the actor.

use std::any::Any;
use std::sync::Arc;

use crate::mailbox::{HeldBy, MailboxOwner, Reservation};
use crate::name::Name;
use crate::request::MessageSet;
use crate::token::Token;

type OpenMailbox =
    Arc<dyn Fn(&MailboxOwner, &Reservation, Name, Token) -> Box<dyn Any + Send> + Send + Sync>;

/// The mailbox that an actor type declares.
#[derive(Clone)]
pub(in crate::server) struct DeclaredMailbox {
    pub(in crate::server) capacity: usize,
    open: OpenMailbox,
}

impl DeclaredMailbox {
    pub(super) fn new<S: MessageSet>(capacity: usize) -> Self {
        Self {
            capacity,
            open: Arc::new(move |owner, reservation, name, token| {
                Box::new(owner.build::<S>(reservation, name, token, capacity, HeldBy::Actor))
            }),
        }
    }

    /// Opens the mailbox of one actor, whose name is registered: a `Mailbox<S>` of the declared
    /// message set.
    pub(super) fn open(
        &self,
        owner: &MailboxOwner,
        reservation: &Reservation,
        name: Name,
        token: Token,
    ) -> Box<dyn Any + Send> {
        (self.open)(owner, reservation, name, token)
    }
}
