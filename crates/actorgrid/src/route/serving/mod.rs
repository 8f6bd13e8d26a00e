//! The peer's side of the unary gRPC route: connections that are accepted, the services on them,
//! and their answers.

mod accept;
mod accepted_socket;
mod answers;
mod connection;
mod grid_service;
mod health;
mod process;
mod server;

pub(crate) use accept::AcceptedCounters;
pub(crate) use server::{ProcessServer, ServerConfig};
