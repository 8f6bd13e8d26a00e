//! The owned form of a server: dropping it ends the peer.

use std::fmt;
use std::future::Future;

use tokio::task::JoinHandle;

use super::events::ServerEvents;
use super::handle::ServerHandle;
use super::shutdown_error::ShutdownError;
use super::state::ServerState;
use super::statistics::ServerStatistics;
use crate::address::Address;
use crate::client::Client;
use crate::mailbox::{Mailbox, MailboxError};
use crate::name::{IntoName, Name, Namespace};
use crate::registry::RegistryError;
use crate::request::MessageSet;
use crate::session::FenceReason;
use crate::token::ClusterId;

/// A peer of a grid: it runs actors and serves their mailboxes.
///
/// It serves from [`bind`](crate::ServerBuilder::bind) until [`shutdown`](ServerHandle::shutdown).
/// If its session ends earlier (for example, because the registry was unavailable for too long),
/// its actors are ended and the peer rejoins automatically.
///
/// On the port of its mailboxes it serves the standard gRPC health service (`grpc.health.v1.Health`
/// with `Check` and `Watch`), for probes of orchestrators and for clients of the Go library. It
/// knows these services:
///
/// - `""` and `ready`: `SERVING` in the state [`Serving`](ServerState::Serving), unless the
///   session's time has run out and nothing has noticed it yet, and `NOT_SERVING` in every other
///   state. [`Client::check_health`] asks for `""`.
/// - `live`: `SERVING` while the process works, even while the peer starts, is fenced or rejoins.
///   It never depends on the registry, so that an outage of the registry restarts no process.
///
/// A server that is dropped without a shutdown aborts its actors and leaves; its names stay
/// registered until its leases expire.
pub struct Server {
    handle: ServerHandle,
    /// Owned: dropping the server aborts it, which ends everything that runs on the peer.
    supervisor: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl Server {
    pub(super) fn new(handle: ServerHandle, supervisor: JoinHandle<()>) -> Self {
        Self { handle, supervisor }
    }

    /// Returns a handle that can be shared.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Returns the peer's name.
    #[must_use]
    pub fn peer(&self) -> &Name {
        self.handle.peer()
    }

    /// Returns the address at which other peers reach this one.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.handle.address()
    }

    /// Returns the grid's namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        self.handle.namespace()
    }

    /// Returns the client of the peer. Its requests to mailboxes of this peer do not leave the
    /// process.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.handle.client()
    }

    /// Returns the current state of the server.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.handle.state()
    }

    /// Returns why the peer was last fenced: see [`ServerHandle::fence_reason`].
    #[must_use]
    pub fn fence_reason(&self) -> Option<FenceReason> {
        self.handle.fence_reason()
    }

    /// Returns the events of the server from now on: see [`ServerHandle::events`].
    #[must_use]
    pub fn events(&self) -> ServerEvents {
        self.handle.events()
    }

    /// Returns the server's counters: see [`ServerHandle::statistics`].
    #[must_use]
    pub fn statistics(&self) -> ServerStatistics {
        self.handle.statistics()
    }

    /// Waits until the server is in this state, or has stopped. Cancel safe.
    #[doc(alias = "WaitUntilStarted")]
    pub async fn wait_for(&self, state: ServerState) {
        self.handle.wait_for(state).await;
    }

    /// Opens a mailbox that belongs to no actor: see [`ServerHandle::mailbox`].
    ///
    /// # Errors
    ///
    /// As [`ServerHandle::mailbox`].
    ///
    /// # Cancel safety
    ///
    /// As [`ServerHandle::mailbox`].
    #[doc(alias = "NewMailbox")]
    pub async fn mailbox<S: MessageSet>(
        &self,
        name: impl IntoName,
        capacity: usize,
    ) -> Result<Mailbox<S>, MailboxError> {
        self.handle.mailbox(name, capacity).await
    }

    /// Follows another cluster of the registry that has replaced the previous one. This applies to
    /// the server and to everything that shares its [`Registry`](crate::Registry). The peer joins
    /// the grid there. See [`Registry::follow_cluster`](crate::Registry::follow_cluster).
    ///
    /// # Errors
    ///
    /// As [`Registry::follow_cluster`](crate::Registry::follow_cluster).
    ///
    /// # Cancel safety
    ///
    /// As [`Registry::follow_cluster`](crate::Registry::follow_cluster).
    pub async fn follow_cluster(&self, cluster: ClusterId) -> Result<(), RegistryError> {
        self.handle.follow_cluster(cluster).await
    }

    /// Shuts the server down, in order: see [`ServerHandle::shutdown`].
    ///
    /// # Errors
    ///
    /// As [`ServerHandle::shutdown`].
    ///
    /// # Cancel safety
    ///
    /// The shutdown continues if the future is dropped, unless the server is dropped too.
    #[doc(alias = "Stop")]
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        self.handle.shutdown().await
    }

    /// Serves until `until` completes, or until another caller has shut the server down; then shuts
    /// it down.
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

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.handle, f)
    }
}
