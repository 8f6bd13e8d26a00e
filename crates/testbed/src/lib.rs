//! External parts that the tests of `actorgrid` need: real etcd processes, programs that are run,
//! stopped and killed, and a resource that checks fencing tokens.
//!
//! - [`Etcd`] is one etcd on free ports of the loopback, [`EtcdCluster`] several that form a
//!   cluster.
//! - [`Proxy`] forwards connections to a server and cuts them; [`EtcdProxy`] forwards calls to an
//!   etcd and delays, swallows or poisons parts of them.
//! - [`Process`] is a program under test. Its output is kept in a [`Transcript`], which several
//!   processes may share.
//! - [`Resource`] accepts a token of a name unless it has seen a greater one.
//!
//! Everything here is for tests. So operations that fail **panic** with the reason, at the line of
//! the test that called them; and everything **blocks** the calling thread (an etcd takes about
//! half a second to start), so async tests must call it on a thread that may block. Dropped values
//! are killed and removed. A value in a `static` is never dropped: do not keep a process there.

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
