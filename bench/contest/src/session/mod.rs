//! Runs contenders in turn, scenario by scenario.

mod contender_program;
mod machine;
mod next_turn;
mod plan;
mod program_run;
mod record;
mod rounds;
mod runner;
mod running_program;
mod scenario;
mod time_budget;

pub use contender_program::{ContenderFolders, ContenderProgram};
pub use machine::Machine;
pub use plan::Plan;
pub use record::{ContenderRecord, ScenarioRecord, SessionRecord};
pub use rounds::{Rounds, Run};
pub use runner::run_session;
pub use scenario::{Load, Scenario};
