//! A minimal load generator: what the programs `load` and `compare` are made of.
//!
//! `compare.sh` copies this folder into another commit of the repository and builds it there. So it
//! uses only what the library has had since commit 75bea76, and nothing that is about to change.

mod case;
mod echo_bytes;
mod echo_peer;
mod grid_caller;
mod measurement;
mod traffic;

pub use bench_kit::{LatencyHistogram, ProcessCpu, Summary, SystemCpu};
pub use case::{LoadCase, LoadRoute};
pub use echo_bytes::EchoBytes;
pub use echo_peer::{NAMESPACE, start_actor, start_peer};
pub use grid_caller::GridCaller;
pub use measurement::Measurement;
pub use traffic::{Traffic, drive};
