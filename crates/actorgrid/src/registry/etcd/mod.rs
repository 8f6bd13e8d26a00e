//! The registry on etcd.
//!
//! - [`etcd`] is the handle, and [`url`] reads where its cluster is.
//! - [`endpoints`] picks an endpoint. [`endpoint`] has its connection, which [`dialer`] opens, over
//!   what [`security`] and `tls` secure; [`attempts`] holds back those that would fail again.
//! - [`connection`] drives it. [`activity`] and [`witness`] see what happens on it, [`liveness`]
//!   decides what its silence means, [`transport`] is one call over it.
//! - [`exchange`] sends a request, with the token of [`auth`]; [`status`] knows its failures.
//! - [`kv`], [`lease`] and [`watch`] are the calls, [`txn`] builds and reads transactions, and
//!   [`backend`] puts them together.
//! - [`watch_feed`] reads what a watch says; [`silence`] notices that it says nothing, and
//!   [`member_version`] how far its progress is to be trusted.

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
