//! Actors: their types, and the life of each actor, from the reservation of its name to its
//! release.

mod actor;
mod actor_table;
mod actor_type;
mod checked_start;
mod context;
mod declared_mailbox;
mod report;
mod run;
mod scope;
mod start;
mod start_budget;
mod user_code;

pub use actor::{Actor, ActorResult, BoxActor};
pub(super) use actor_table::{ActorTable, RunningActor};
pub use actor_type::ActorType;
pub(super) use checked_start::CheckedStart;
pub use context::ActorContext;
pub(super) use start::start;
pub(super) use start_budget::{StartBudget, StartPermit};
