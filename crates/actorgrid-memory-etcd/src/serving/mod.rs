//! Serves connections: a thin layer of HTTP/2 and gRPC over the calls and the watches.

mod connection;
mod etcd_service;
mod kv;
mod lease;
mod listener;
mod router;
mod server_calls;
mod stream_tasks;
mod watch;
mod watch_stream;

pub(crate) use connection::serve_connection;
pub(crate) use listener::serve;
