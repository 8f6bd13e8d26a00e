//! The registry on etcd.
//!
//! - [`etcd`] is the handle, and [`url`] reads where its cluster is.
//! - [`connection`] speaks to one endpoint, over what [`security`] and `tls` secure and
//!   [`witness`] watches; [`endpoints`] picks an endpoint.
//! - [`exchange`] sends a request, with the token of [`auth`]; [`status`] knows its failures.
//! - [`kv`], [`lease`] and [`watch`] are the calls, [`txn`] builds and reads transactions, and
//!   [`backend`] puts them together.

mod auth;
mod backend;
mod connection;
mod endpoints;
mod etcd;
mod exchange;
mod kv;
mod lease;
mod security;
mod status;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod txn;
mod url;
mod watch;
mod witness;

pub(super) use etcd::Etcd;
