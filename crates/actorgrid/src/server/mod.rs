//! A peer of the grid.

mod actor;
mod actor_type;
mod actors;
mod builder;
mod context;
mod error;
mod leader;
mod life;
mod peer_mailbox;
mod run;
mod start;
mod state;
mod statistics;
mod supervisor;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::client::Client;
use crate::environment::Environment;
use crate::mailbox::{Mailbox, MailboxError, MailboxTable};
use crate::name::{IntoName, Name, Namespace};
use crate::registry::Registry;
use crate::request::MessageSet;
use crate::route::Admission;
use crate::route::serving::AcceptedCounters;
use crate::session::{Fence, Identity};

pub use actor::{Actor, ActorResult, BoxActor};
pub use actor_type::ActorType;
pub use builder::{
    DEFAULT_LEASE_TTL, DEFAULT_MAX_ACTORS, DEFAULT_SHUTDOWN_TIMEOUT, MIN_LEASE_TTL, ServerBuilder,
};
pub use context::{ActorContext, Fenced};
pub use error::{ServerError, ServerErrorKind, ShutdownError};
pub use state::ServerState;
pub use statistics::ServerStatistics;

use actors::Actors;
use life::Life;
use statistics::Counters;

/// A peer of a grid: it runs actors and serves their mailboxes.
///
/// It serves from [`bind`](ServerBuilder::bind) until [`shutdown`](ServerHandle::shutdown). When its
/// session ends before (the registry was away for too long, say), its actors are ended and it
/// joins again by itself.
///
/// On the port of its mailboxes it offers the standard gRPC health service (`grpc.health.v1.Health`
/// with `Check` and `Watch`, for the service `""` alone), so that probes of orchestrators and
/// clients of the Go library can ask it: it answers `SERVING` in the state
/// [`Serving`](ServerState::Serving), unless the session's time has run out and nobody has noticed
/// it yet, and `NOT_SERVING` in every other one. [`Client::check_health`] asks it too.
///
/// Dropped without a shutdown, it aborts its actors and leaves; its names stay registered until
/// its lease runs out.
pub struct Server {
    handle: ServerHandle,
    /// Owned: aborted by a drop, which ends all that runs on the peer.
    supervisor: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// What of a server can be shared. Cheap to clone; it does not keep the server running.
#[derive(Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
}

/// What all that runs on a peer shares.
struct Shared {
    config: Config,
    registry: Registry,
    identity: Identity,
    actor_types: HashMap<Name, ActorType>,
    table: Arc<MailboxTable>,
    actors: Arc<Actors>,
    counters: Counters,
    accepted: Arc<AcceptedCounters>,
    client: Client,
    state: watch::Sender<ServerState>,
    /// The fence of the session under which the peer serves, for those who ask over the wire.
    serving: watch::Sender<Option<Arc<dyn Admission>>>,
    life: Mutex<Weak<Life>>,
    shutdown: CancellationToken,
    result: Mutex<Option<Result<(), ShutdownError>>>,
}

struct Config {
    environment: Environment,
    lease_ttl: Duration,
    shutdown_timeout: Duration,
    leadership: bool,
    abort_process_when_stuck: bool,
}

impl Admission for Fence {
    fn admits(&self) -> bool {
        Self::admits(self)
    }
}

impl Shared {
    /// From now on the peer does not serve.
    fn set_state(&self, state: ServerState) {
        // First: who sees the state must not be told by others that the peer serves.
        self.serving.send_if_modified(|now| now.take().is_some());
        self.state.send_replace(state);
    }

    fn set_serving(&self, fence: &Arc<Fence>) {
        self.serving.send_replace(Some(fence.clone()));
        self.state.send_replace(ServerState::Serving);
    }

    fn set_life(&self, life: Option<&Arc<Life>>) {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) =
            life.map_or_else(Weak::new, Arc::downgrade);
    }

    fn life(&self) -> Option<Arc<Life>> {
        self.life
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade()
    }

    /// Whether this peer is a candidate for the leader.
    fn leads(&self) -> bool {
        self.config.leadership && self.actor_types.contains_key(leader::LEADER)
    }

    fn finish(&self, result: Result<(), ShutdownError>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.set_state(ServerState::Stopped);
    }

    /// Says loudly which actors do not end, and ends the process if that was asked for.
    fn report_stuck(&self) -> Vec<Name> {
        let stuck = self.actors.unended();
        tracing::error!(
            ?stuck,
            "actors do not end though aborted: code that never awaits"
        );
        if self.config.abort_process_when_stuck {
            std::process::abort();
        }
        stuck
    }
}

impl Server {
    /// A server of the grid `namespace`; [`bind`](ServerBuilder::bind) or
    /// [`listener`](ServerBuilder::listener) starts it.
    #[doc(alias = "NewServer")]
    pub fn builder(namespace: impl Into<String>, registry: Registry) -> ServerBuilder {
        ServerBuilder::new(namespace.into(), registry)
    }

    /// A handle that can be shared.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until `until` ends, or until another caller has shut the server down; then shuts it
    /// down.
    ///
    /// # Errors
    ///
    /// As [`shutdown`](ServerHandle::shutdown).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the server: see [`Server`].
    pub async fn run_until(self, until: impl Future) -> Result<(), ShutdownError> {
        tokio::select! {
            _ = until => {}
            () = self.handle.stopped() => {}
        }
        self.handle.shutdown().await
    }
}

impl std::ops::Deref for Server {
    type Target = ServerHandle;

    fn deref(&self) -> &ServerHandle {
        &self.handle
    }
}

impl ServerHandle {
    /// The peer's name.
    #[must_use]
    pub fn peer(&self) -> &Name {
        self.shared.identity.peer()
    }

    /// The address under which other peers reach this one.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.shared.identity.address
    }

    /// The grid's namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.shared.identity.namespace
    }

    /// The client of the peer: its requests to mailboxes of this peer do not leave the process.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// What the server is doing.
    #[must_use]
    pub fn state(&self) -> ServerState {
        *self.shared.state.borrow()
    }

    /// What the server is doing, as it changes.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<ServerState> {
        self.shared.state.subscribe()
    }

    /// What the server has counted so far, over all its sessions. It takes no lock and costs nothing
    /// to what is going on. What the peer's own requests met, its [client](Self::client) counts.
    #[must_use]
    pub fn statistics(&self) -> ServerStatistics {
        let shared = &self.shared;
        shared
            .counters
            .read(shared.table.counters(), &shared.accepted)
    }

    /// Ends when the server is in this state, or has stopped. Cancel safe.
    #[doc(alias = "WaitUntilStarted")]
    pub async fn wait_for(&self, state: ServerState) {
        let mut states = self.states();
        // The sender lives as long as this handle.
        let _ = states
            .wait_for(|now| *now == state || *now == ServerState::Stopped)
            .await;
    }

    async fn stopped(&self) {
        self.wait_for(ServerState::Stopped).await;
    }

    /// Opens a mailbox that belongs to no actor, for `capacity` requests (1 to
    /// [`MAX_MAILBOX_CAPACITY`](crate::MAX_MAILBOX_CAPACITY)). It ends with the session under which
    /// it was opened.
    ///
    /// # Errors
    ///
    /// [`MailboxError`]; nothing is left behind.
    ///
    /// # Cancel safety
    ///
    /// What was registered when the future is dropped is released.
    #[doc(alias = "NewMailbox")]
    pub async fn mailbox<S: MessageSet>(
        &self,
        name: impl IntoName,
        capacity: usize,
    ) -> Result<Mailbox<S>, MailboxError> {
        let name = name
            .into_name()
            .map_err(|error| MailboxError::invalid_name(&error))?;
        let life = self.shared.life().ok_or_else(MailboxError::stopping)?;
        let owner = life.owner();
        drop(life);
        owner.open(name, capacity).await
    }

    /// Shuts the server down, in order: nothing more is admitted or started; its actors are asked
    /// to stop and aborted after the [shutdown timeout](ServerBuilder::shutdown_timeout); then its
    /// registrations are deleted, its answers are sent, and its connections are closed. Every
    /// caller waits for its completion.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`] says what was not brought to its end. The server has stopped all the same.
    ///
    /// # Cancel safety
    ///
    /// The shutdown goes on when the future is dropped, as long as the server is not dropped too.
    #[doc(alias = "Stop")]
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        self.shared.shutdown.cancel();
        self.stopped().await;
        let result = self
            .shared
            .result
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        result.clone().unwrap_or(Ok(()))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.handle, f)
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("peer", self.peer())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
