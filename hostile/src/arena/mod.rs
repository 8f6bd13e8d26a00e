//! What all attacks share: where and how long they take place, how fast they may be, and what is
//! found.

mod arena;
mod findings;
mod throttle;

pub(crate) use arena::Arena;
pub use findings::Findings;
