//! Broadcasts: one message to each member of a group, with an outcome for each.

mod answers;
mod builder;
mod incomplete;
mod outcome;
mod result;
mod turns;

pub use builder::{BroadcastBuilder, DEFAULT_CONCURRENCY};
pub use incomplete::IncompleteBroadcast;
pub use outcome::Outcome;
pub use result::BroadcastResult;
pub(in crate::client) use turns::FanOutTurns;
