//! Mailboxes: grid-unique names that receive requests, with bounded queues.

mod capacity;
mod error;
mod gate;
mod held_name;
mod inbox;
mod mailbox;
mod mailbox_table;
mod owner;
mod places;
mod queue;
mod receive_turn;
mod statistics;
mod stop;
mod token_expired;

mod waiting_inbox;

pub use capacity::MAX_MAILBOX_CAPACITY;
pub use error::{MailboxError, MailboxErrorKind};
pub(crate) use held_name::HeldBy;
pub use mailbox::Mailbox;
pub(crate) use mailbox_table::{MailboxTable, Reservation};
pub(crate) use owner::{MailboxOwner, check_capacity};
pub(crate) use statistics::InboxCounters;
pub(crate) use stop::Stop;
pub use stop::{StopReason, Stopping};
pub use token_expired::TokenExpired;
