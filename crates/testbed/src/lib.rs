//! What the tests of `actorgrid` need of the world: real etcd processes, programs that are run,
//! stopped and killed, and a resource that checks fencing tokens.
//!
//! - [`Etcd`] is one etcd on free ports of the loopback, [`EtcdCluster`] several that form a cluster.
//! - [`Proxy`] stands before a server and cuts connections; [`EtcdProxy`] stands before an etcd and
//!   delays, swallows or poisons parts of calls.
//! - [`Process`] is a program under test. What it prints is kept in a [`Transcript`], which several
//!   processes may share.
//! - [`Resource`] accepts a token of a name unless it has seen a greater one.
//!
//! Everything here belongs to tests. So what cannot be done **panics** and says why, at the line
//! of the test that asked for it; and everything **blocks** the calling thread (an etcd takes about
//! half a second to start), which an async test does on a thread that may block. What is dropped is
//! killed and removed. A value in a `static` is never dropped: do not keep a process there.

mod child;
mod etcd;
mod etcd_binary;
mod etcd_cluster;
mod etcd_member;
mod etcd_proxy;
mod etcd_snapshot;
mod etcd_start;
mod ports;
mod process;
mod proxy;
mod resource;
mod token;
mod transcript;

pub use etcd::Etcd;
pub use etcd_cluster::EtcdCluster;
pub use etcd_proxy::{CallPart, EtcdProxy, Fate, PartKind};
pub use etcd_snapshot::EtcdSnapshot;
pub use process::Process;
pub use proxy::Proxy;
pub use resource::{Entry, Resource, Verdict};
pub use token::Token;
pub use transcript::{Line, Transcript};
