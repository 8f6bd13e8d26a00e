//! The server as its owner holds it: dropping it ends the peer.

use std::fmt;
use std::future::Future;

use tokio::task::JoinHandle;

use super::handle::ServerHandle;
use super::shutdown_error::ShutdownError;

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
///
/// [`ServerBuilder::bind`]: crate::ServerBuilder::bind
/// [`ServerState::Serving`]: crate::ServerState::Serving
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

impl Server {
    pub(super) fn new(handle: ServerHandle, supervisor: JoinHandle<()>) -> Self {
        Self { handle, supervisor }
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

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.handle, f)
    }
}
