//! The registry on etcd.
//!
//! - [`etcd`] is the handle, and [`url`] parses the URL of its cluster.
//! - [`endpoints`] picks an endpoint. [`endpoint`] holds its connection, which [`dialer`] opens,
//!   secured by [`security`] and `tls`; [`attempts`] delays attempts that would only fail again.
//! - [`connection`] drives a connection. [`activity`] and [`witness`] observe it, [`liveness`]
//!   decides what its silence means, and [`transport`] makes calls over it.
//! - [`exchange`] sends a request, with the token of [`auth`]; [`status`] interprets failures.
//! - [`kv`], [`lease`] and [`watch`] are the calls, [`txn`] builds and reads transactions, and
//!   [`backend`] implements the library's interface with them. [`history`] detects that a cluster
//!   was restored.
//! - [`watch_feed`] reads the messages of a watch; [`silence`] decides what to do when none arrive,
//!   and [`member_version`] whether its progress reports can be trusted.

mod activity;
mod attempts;
mod auth;
mod backend;
mod connection;
mod dialer;
mod endpoint;
mod endpoints;
mod etcd;
mod exchange;
mod history;
mod io;
mod kv;
mod lease;
mod liveness;
mod member_version;
mod security;
mod silence;
mod status;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod txn;
mod url;
mod watch;
mod watch_feed;
mod witness;

pub(super) use etcd::Etcd;
