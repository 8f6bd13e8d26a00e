//! The parts that all programs of the bench share.
//!
//! - A **contender** is a program with a side that echoes and a side that loads it. All have one
//!   command line and print one result, so that nothing else knows how a library is used:
//!   [`Contender`], [`Caller`], [`run_contender`], and what they print: [`About`], [`LoadReport`].
//! - **Loads**: [`closed_loop`] keeps requests in flight, [`open_loop`] sends at a rate.
//! - **Noise**: [`ProcessCpu`], [`SystemCpu`] and [`Noise`] tell what the load used of the machine,
//!   and what others did.
//! - **Figures**: [`LatencyHistogram`], [`Summary`], and the version of what they are of:
//!   [`locked_version`].

mod about;
mod caller;
mod closed_loop;
mod command_line;
mod contender;
mod large_messages;
mod latency_histogram;
mod load_report;
mod locked_version;
mod loss;
mod noise;
mod open_loop;
mod pipeline;
mod process_cpu;
mod schedule;
mod summary;
mod system_cpu;
mod tally;
mod window;

pub use about::About;
pub use caller::{BoxError, Caller, echoed};
pub use closed_loop::closed_loop;
pub use command_line::{EchoOptions, LoadOptions, Losing};
pub use contender::{Contender, Served, run_contender};
pub use latency_histogram::LatencyHistogram;
pub use load_report::{BystanderReport, LargeReport, LoadReport, LossReport};
pub use locked_version::locked_version;
pub use noise::Noise;
pub use open_loop::open_loop;
pub use pipeline::Pipeline;
pub use process_cpu::ProcessCpu;
pub use schedule::Schedule;
pub use summary::Summary;
pub use system_cpu::SystemCpu;
pub use tally::{CallerTally, Tally};
pub use window::Window;
