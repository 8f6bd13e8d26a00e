//! Runs attacks beside honest callers, and judges the outcome.

mod bed;
mod figures;
mod peer_process;
mod plan;
mod round;
mod verdict;

pub use bed::{Bed, BedOptions};
pub use figures::RoundFigures;
pub use plan::{Mode, PlannedRound, plan};
pub use round::run_round;
pub use verdict::{Demands, Quiet, failures};
