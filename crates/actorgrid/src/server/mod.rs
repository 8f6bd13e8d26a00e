//! A peer of the grid: the server, its actors, and the leader that it may run.
//!
//! - [`builder`], [`settings`] and [`bind`]: from the settings to a running server.
//! - [`server`] and [`handle`]: the types that users hold; [`peer_core`]: the state that everything
//!   on a peer shares.
//! - [`supervisor`]: the task that owns all sessions of a peer; [`life`]: everything that runs
//!   under one session.
//! - [`actor`]: from the registration of an actor's name to its release; [`peer_mailbox`] starts
//!   and stops actors for others.
//! - [`events`]: reports what happens on a peer.
//! - [`leader`]: the one actor that each grid keeps running.

mod actor;
mod address_holder;
mod bind;
mod builder;
mod counters;
mod error;
mod events;
mod handle;
mod leader;
mod life;
mod peer_core;
mod peer_mailbox;
mod server;
mod settings;
mod shutdown_error;
mod state;
mod statistics;
mod supervisor;
mod wire_settings;

pub use actor::{Actor, ActorContext, ActorResult, ActorType, BoxActor};
pub use address_holder::AddressHolder;
pub use builder::ServerBuilder;
pub use error::{ServerError, ServerErrorKind};
pub use events::{ActorEnd, ServerEvent, ServerEvents};
pub use handle::ServerHandle;
pub use server::Server;
pub use settings::{
    DEFAULT_CONSTRUCTOR_TIMEOUT, DEFAULT_LEASE_TTL, DEFAULT_MAX_ACTORS, DEFAULT_SHUTDOWN_TIMEOUT,
    MIN_LEASE_TTL,
};
pub use shutdown_error::ShutdownError;
pub use state::ServerState;
pub use statistics::ServerStatistics;
