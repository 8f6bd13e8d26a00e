//! Runs programs of the Go library `github.com/lytics/grid/v3` beside ours.
//!
//! - [`GoClient`] drives a client of the Go library with a script.
//! - [`Bed`] is one etcd with one grid on it, whose peers are processes of either library; [`Peer`]
//!   is one of them.
//!
//! Operations that fail panic with the reason, at the line that called them: everything here is for
//! tests. The Go programs are built by `make interop`.

mod bed;
mod go_client;
mod programs;

pub use bed::{Bed, Kind, NAMESPACE, Peer, secs};
pub use go_client::{Command, Entry, Failed, GoClient, Outcome, Replies, Reply};
