//! The peer's side of the unary gRPC route: accepted connections, their services, and the answers.
//!
//! It uses the `h2` library directly rather than a server library above it: flow control decides
//! which messages are read, a connection and all its streams are one task, and a reply counts until
//! it is written.

mod accept;
mod accepted;
mod accepted_socket;
mod answers;
mod bounds;
mod busy_connections;
mod connection;
mod connection_activity;
mod connection_table;
mod control_budget;
mod counters;
mod end_orders;
mod frame_meter;
mod grid_service;
mod health;
mod keep_alive;
mod message_reader;
mod process;
mod reply_buffer;
mod served_connection;
mod served_stream;
mod server;

pub(crate) use super::budget::BudgetLimits;
pub use bounds::{
    DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_RECEIVED_BYTES, DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION,
    DEFAULT_MAX_STREAMS_PER_CONNECTION,
};
pub(crate) use bounds::{MIN_MESSAGES_PER_CONNECTION, WireBounds};
pub(in crate::route) use busy_connections::{BusyConnections, BusyPlace, TurnSize};
pub(in crate::route) use end_orders::EndOrders;
pub(in crate::route) use keep_alive::{KeepAlive, KeepAliveStep, LOOK_INTERVAL, Look};
pub(in crate::route) use served_connection::ServedConnection;
pub(crate) use server::{HeldBytes, ProcessServer, ServerConfig, ServingGauges};
