//! The memory for received messages that are not yet handed out, and for replies not yet sent.
//!
//! One [`ByteBudget`] bounds each of the two for a whole peer: for all connections together, per
//! source address and per connection, so that no client can use up what others need. A small
//! message is charged when it arrives, or rejected. A large one waits for a ticket for its
//! announced length: in order of arrival, and only as many are admitted as can all finish.

mod byte_budget;
mod connection_budget;
mod level;
mod limits;
mod peer_budget;
mod purse;
mod ticket_queue;

pub(super) use byte_budget::ByteBudget;
pub(crate) use connection_budget::Charge;
pub(super) use connection_budget::{BudgetFull, ConnectionBudget};
pub(crate) use limits::BudgetLimits;
pub(super) use peer_budget::SourceBudget;
pub(super) use purse::Purse;
