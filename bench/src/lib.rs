//! A minimal load generator: what the programs `load` and `compare` are made of.
//!
//! `compare.sh` copies this folder into another commit of the repository and builds it there. So it
//! uses only what the library has had since commit 75bea76, and nothing that is about to change.

mod case;
mod comparison;
mod echo_peer;
mod latency_histogram;
mod measurement;
mod process_cpu;
mod system_cpu;
mod traffic;

pub use case::{LoadCase, LoadRoute};
pub use comparison::{RatioSummary, is_quiet};
pub use echo_peer::{NAMESPACE, start_actor, start_peer};
pub use latency_histogram::LatencyHistogram;
pub use measurement::Measurement;
pub use process_cpu::ProcessCpu;
pub use system_cpu::SystemCpu;
pub use traffic::{Traffic, drive};
