//! Programs of the Go library `github.com/lytics/grid/v3`, run beside ours.
//!
//! - [`GoClient`] drives a client of the Go library by a script.
//! - [`Bed`] is one etcd with one grid on it, whose peers are processes of either kind; [`Peer`] is
//!   one of them.
//!
//! What cannot be done panics and says why, at the line that asked for it: all of this is for
//! tests. The Go programs are built by `make interop`.

mod bed;
mod go_client;
mod programs;

pub use bed::{Bed, Kind, NAMESPACE, Peer, secs};
pub use go_client::{Command, Entry, Failed, GoClient, Outcome, Replies, Reply};
