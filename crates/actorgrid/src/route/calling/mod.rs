//! The client's side of the unary gRPC route: connections to peers, and the calls over them.
//!
//! Connections are our own, on hyper: a generic gRPC channel does not distinguish "never sent" from
//! "may have been executed", which decides whether a retry is allowed.

mod called_socket;
pub(super) mod connection;
mod health;
mod peer;
mod peer_route;
mod peer_silence;
mod pool;
mod pool_core;
mod process_route;

pub(crate) use health::HealthStream;
#[cfg(test)]
pub(super) use peer_route::PeerRoute;
pub(crate) use pool::Pool;
pub(super) use pool_core::ConnectionCounters;
pub(crate) use pool_core::PoolConfig;
