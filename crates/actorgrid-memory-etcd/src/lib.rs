//! An etcd v3 server that lives in memory and fails on demand.
//!
//! A [`MemoryEtcd`] speaks etcd's own gRPC API over any byte stream, so that the same client code
//! that a program uses with etcd runs against it: in a test, in a simulation without sockets, or on
//! a developer's machine without an etcd. [`Faults`] makes it fail in the ways in which etcd and
//! the network to it fail. Nothing is stored on disk.
//!
//! ```
//! use actorgrid_memory_etcd::{CallFault, CallKind, MemoryEtcd};
//! use tokio::net::TcpListener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let etcd = MemoryEtcd::new();
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! println!("etcdctl --endpoints={} get --prefix ''", listener.local_addr()?);
//! // The next transaction is carried out, and its caller never learns of it.
//! etcd.faults().inject(CallKind::Txn, CallFault::LoseReply);
//! tokio::select! {
//!     stopped = etcd.serve(listener) => stopped?,
//!     () = std::future::ready(()) => {}
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it serves
//!
//! | service | calls |
//! |---|---|
//! | KV | Range, Put, DeleteRange, Txn (nested, too), Compact |
//! | Lease | LeaseGrant, LeaseRevoke, LeaseKeepAlive, LeaseTimeToLive, LeaseLeases |
//! | Watch | Watch: with a start revision, filters, previous values, fragments, progress |
//! | Cluster | MemberList |
//! | Maintenance | Status, Alarm |
//! | Auth | Authenticate, for one user with all permissions |
//!
//! Every other call fails as unimplemented. Replies, errors, revisions and events are those of etcd
//! 3.6: random histories of calls run on both and are compared (`make etcd-differential`).
//!
//! # Known differences from etcd
//!
//! - There is one member, which leads. Reads that etcd answers from a lagging member are not
//!   stale, and `raft_term` and `raft_index` only look plausible.
//! - Leases end when they are due, and not up to a second later. A renewal of a lease that is due
//!   is answered at once; etcd waits until it has revoked the lease.
//! - Storage is full while it would exceed its [`Bounds`], and has room again after a compaction.
//!   etcd raises an alarm that an operator has to disarm. [`Faults::fill`] is that alarm.
//!   Versions weigh something else than in etcd's database.
//! - When the history is full, the oldest of it is compacted.
//! - Reads that are sorted by something else than the key keep keys with equal values in their
//!   order. etcd's order of more than twelve such keys is not defined.
//! - A watch that catches up, or follows a burst of changes, may deliver more or fewer revisions in
//!   one message than etcd. Revisions are whole in both.
//! - A watch from the past has caught up as soon as its client reads. In etcd it does so in the
//!   background, and a compaction can overtake it.
//! - A request for progress on a stream one of whose watches is behind is answered once that watch
//!   has delivered everything; etcd ignores it.
//! - A message that is too large for etcd's gRPC server fails as out of range, with a text of its
//!   own, instead of as exhausted.
//! - Beyond its [`Bounds`], the server refuses watches and leases as too many requests. etcd has no
//!   such limits.

mod access;
mod bounds;
mod calls;
mod clock;
#[cfg(test)]
mod differential;
mod error;
mod etcd_core;
mod faults;
mod handle;
mod identity;
mod numbers;
mod serving;
mod state;
mod store;
mod watch;
mod wire;

pub use bounds::Bounds;
pub use clock::EtcdClock;
pub use faults::{CallFault, CallKind};
pub use handle::{EtcdSnapshot, Faults, MemoryEtcd, MemoryEtcdBuilder};
