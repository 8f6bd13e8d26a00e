//! Runs programs of the Go library `github.com/lytics/grid/v3`, and of the version of our library
//! before this one, beside ours.
//!
//! - [`Bed`] is one etcd with one grid on it, whose peers are processes of either library; [`Peer`]
//!   is one of them. [`VersionBed`] is the same with both versions of our library.
//! - [`ScriptedClient`] drives a client in another process with a script.
//! - [`run_scenarios`] runs the scenarios of a test side by side.
//!
//! Operations that fail panic with the reason, at the line that called them: everything here is for
//! tests. `make interop` builds the Go programs, `make interop-versions` those of the previous
//! version.

mod bed;
mod peer;
mod programs;
mod scenarios;
mod scripted_client;
mod version_bed;

pub use bed::{Bed, Kind, NAMESPACE, secs};
pub use peer::Peer;
pub use scenarios::{Scenario, run_scenarios};
pub use scripted_client::{Command, Entry, Failed, Outcome, Replies, Reply, ScriptedClient};
pub use version_bed::{Version, VersionBed};
