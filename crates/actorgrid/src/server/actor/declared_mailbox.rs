//! The mailbox that an actor type declares, registered together with each of its actors.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::user_code::panic_text;
use crate::mailbox::{
    HeldBy, MAX_MAILBOX_CAPACITY, MailboxError, MailboxOwner, Reservation, check_capacity,
};
use crate::message::ActorStart;
use crate::name::Name;
use crate::request::MessageSet;
use crate::token::Token;

type OpenMailbox = Arc<
    dyn Fn(&MailboxOwner, &Reservation, Name, Token, usize) -> Box<dyn Any + Send> + Send + Sync,
>;

/// The mailbox that an actor type declares.
#[derive(Clone)]
pub(in crate::server) struct DeclaredMailbox {
    capacity: DeclaredCapacity,
    open: OpenMailbox,
}

/// The source of a declared mailbox's capacity.
#[derive(Clone)]
pub(super) enum DeclaredCapacity {
    Fixed(usize),
    OfStart(Arc<dyn Fn(&ActorStart) -> usize + Send + Sync>),
}

/// The reason that a start message yields no capacity.
pub(super) enum CapacityFailure {
    /// No mailbox can have this capacity.
    Invalid(usize),
    /// The function of the actor type panicked.
    Panicked(String),
}

impl DeclaredMailbox {
    pub(super) fn new<S: MessageSet>(capacity: DeclaredCapacity) -> Self {
        Self {
            capacity,
            open: Arc::new(move |owner, reservation, name, token, capacity| {
                Box::new(owner.build::<S>(reservation, name, token, capacity, HeldBy::Actor))
            }),
        }
    }

    /// Checks what can be checked without a start message.
    pub(in crate::server) fn check(&self) -> Result<(), MailboxError> {
        match self.capacity {
            DeclaredCapacity::Fixed(capacity) => check_capacity(capacity),
            DeclaredCapacity::OfStart(_) => Ok(()),
        }
    }

    /// Whether user code computes the capacity.
    pub(super) fn calls_user_code(&self) -> bool {
        matches!(self.capacity, DeclaredCapacity::OfStart(_))
    }

    /// Returns the capacity for an actor that is started with this message. The user's function may
    /// block; if it panics, the panic is caught.
    pub(super) fn capacity(&self, start: &ActorStart) -> Result<usize, CapacityFailure> {
        let capacity = match &self.capacity {
            DeclaredCapacity::Fixed(capacity) => *capacity,
            DeclaredCapacity::OfStart(of_start) => {
                std::panic::catch_unwind(AssertUnwindSafe(|| of_start(start)))
                    .map_err(|panic| CapacityFailure::Panicked(panic_text(&*panic)))?
            }
        };
        check_capacity(capacity).map_err(|_| CapacityFailure::Invalid(capacity))?;
        Ok(capacity)
    }

    /// Opens the mailbox of one actor whose name is registered: a `Mailbox<S>` of the declared
    /// message set.
    pub(super) fn open(
        &self,
        owner: &MailboxOwner,
        reservation: &Reservation,
        name: Name,
        token: Token,
        capacity: usize,
    ) -> Box<dyn Any + Send> {
        (self.open)(owner, reservation, name, token, capacity)
    }
}

impl fmt::Display for CapacityFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(capacity) => write!(
                f,
                "the capacity of its mailbox must be 1 to {MAX_MAILBOX_CAPACITY}, and for this \
                 start message it is {capacity}: correct the message, or the function given to \
                 ActorType::mailbox_with"
            ),
            Self::Panicked(text) => write!(
                f,
                "the function given to ActorType::mailbox_with panicked: {text}"
            ),
        }
    }
}
