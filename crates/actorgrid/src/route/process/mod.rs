//! The unary route, shared with the Go library: one HTTP/2 stream a call.
//!
//! Framing and connections are our own, on hyper: a generic gRPC channel cannot tell "never sent"
//! from "may have been executed", copies every message once more, and has texts of its own where
//! a Go client looks for those of its library.

mod accepted;
mod client;
mod connection;
mod frame;
mod health;
mod health_client;
mod metadata;
mod pool;
mod server;
mod status;
mod tasks;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use client::ProcessRoute;
pub(crate) use health_client::HealthStream;
pub(crate) use pool::{Pool, PoolConfig};
pub(crate) use server::{AcceptedCounters, ProcessServer, ServerConfig};

/// The one method of the shared service.
const PROCESS_PATH: &str = "/grid.wire/Process";

/// How much larger than the largest message its envelope may be: the receiver's key (at most
/// 2 KiB) and the type's name.
const MAX_ENVELOPE_BYTES: usize = 8 * 1024;
