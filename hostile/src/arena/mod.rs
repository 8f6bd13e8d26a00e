//! Shared by all attacks: where and how long they take place, how fast they may be, and what they
//! found.

mod arena;
mod findings;
mod target;
mod throttle;

pub(crate) use arena::Arena;
pub use findings::Findings;
pub use target::{MailboxToken, Target};
