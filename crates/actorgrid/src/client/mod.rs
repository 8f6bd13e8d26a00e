//! Clients: requests, broadcasts, queries, watches and health checks.
//!
//! [`Client`] and [`ClientBuilder`] are the public surface. Beneath them, `ClientCore` holds the
//! state that the clones of a client share; requests, broadcasts, watches and health checks each
//! have a folder and depend only on the core.

mod broadcast;
mod builder;
mod client;
mod core;
mod counters;
mod health;
mod locations;
mod lookup;
mod lookup_batches;
mod name_turns;
mod name_wait;
mod name_waits;
mod query;
mod request;
mod request_ids;
mod statistics;
mod watch;

pub use broadcast::{
    BroadcastBuilder, BroadcastResult, DEFAULT_CONCURRENCY, IncompleteBroadcast, Outcome,
};
pub use builder::{ClientBuilder, DEFAULT_DEADLINE};
pub use client::Client;
pub use health::{Health, HealthWatch};
pub use request::{ReplyFuture, RequestBuilder};
pub use statistics::ClientStatistics;
pub use watch::{Watch, WatchEvent};
