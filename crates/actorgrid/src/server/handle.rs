//! The handle of a server that can be shared: its identity, state and mailboxes, and its shutdown.

use std::fmt;
use std::sync::Arc;

use super::events::ServerEvents;
use super::peer_core::PeerCore;
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

/// A handle of a server. Cheap to clone; it does not keep the server running.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) core: Arc<PeerCore>,
}

impl ServerHandle {
    /// The peer's name.
    #[must_use]
    pub fn peer(&self) -> &Name {
        self.core.identity.peer()
    }

    /// The address under which other peers reach this one.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.core.identity.address
    }

    /// The grid's namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.core.identity.namespace
    }

    /// The client of the peer: its requests to mailboxes of this peer do not leave the process. It
    /// is closed when the server has stopped.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.core.client
    }

    /// The state that the server is in.
    #[must_use]
    pub fn state(&self) -> ServerState {
        *self.core.state.borrow()
    }

    /// Why the peer was last fenced; `None` as long as it never was. It is kept after the peer has
    /// joined again: [`state`](Self::state) says whether it is fenced now.
    #[must_use]
    pub fn fence_reason(&self) -> Option<FenceReason> {
        self.core.fence_reason()
    }

    /// The events of the server from now on: its states, its actors, and the leader on this peer.
    ///
    /// They cost nothing while nobody listens. Call it before [`state`](Self::state) to miss no
    /// change between the two; [`ServerBuilder::events`](crate::ServerBuilder::events) gives all of
    /// them, from before the first state on.
    ///
    /// ```
    /// use actorgrid::{ServerEvent, ServerHandle};
    ///
    /// async fn report(server: ServerHandle) {
    ///     let mut events = server.events();
    ///     // Ends when the server has stopped.
    ///     while let Some(event) = events.next().await {
    ///         match event {
    ///             ServerEvent::StateChanged { state, reason: Some(reason) } => {
    ///                 println!("{state:?}: {reason:?}");
    ///             }
    ///             ServerEvent::ActorEnded { name, end, .. } => println!("{name} {end}"),
    ///             ServerEvent::Missed(count) => println!("{count} events are missing here"),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn events(&self) -> ServerEvents {
        ServerEvents::of(&self.core.events)
    }

    /// The server's counters, over all its sessions. Reading them takes no lock and slows nothing
    /// down. The peer's [client](Self::client) counts the peer's own requests.
    #[must_use]
    pub fn statistics(&self) -> ServerStatistics {
        let core = &self.core;
        let under_way = core.starts.under_way();
        core.counters
            .read(core.table.counters(), &core.wire, under_way)
    }

    /// Waits until the server is in this state, or has stopped. Cancel safe. A state that ends
    /// before this looks is not noticed: [`events`](Self::events) reports every one.
    #[doc(alias = "WaitUntilStarted")]
    pub async fn wait_for(&self, state: ServerState) {
        let mut states = self.core.state.subscribe();
        // The sender lives as long as this handle.
        let _ = states
            .wait_for(|now| *now == state || *now == ServerState::Stopped)
            .await;
    }

    pub(super) async fn stopped(&self) {
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
    /// Dropping the future releases what was registered by then.
    #[doc(alias = "NewMailbox")]
    pub async fn mailbox<S: MessageSet>(
        &self,
        name: impl IntoName,
        capacity: usize,
    ) -> Result<Mailbox<S>, MailboxError> {
        let name = name
            .into_name()
            .map_err(|error| MailboxError::invalid_name(&error))?;
        let owner = self.core.owner().ok_or_else(MailboxError::stopping)?;
        owner.open(name, capacity).await
    }

    /// Follows another cluster of the registry, which has taken the place of the one before: this
    /// server and all that shares its [`Registry`](crate::Registry). The peer joins the grid there.
    /// See [`Registry::follow_cluster`](crate::Registry::follow_cluster).
    ///
    /// # Errors
    ///
    /// As [`Registry::follow_cluster`](crate::Registry::follow_cluster).
    ///
    /// # Cancel safety
    ///
    /// As [`Registry::follow_cluster`](crate::Registry::follow_cluster).
    pub async fn follow_cluster(&self, cluster: ClusterId) -> Result<(), RegistryError> {
        self.core.registry.follow_cluster(cluster).await
    }

    /// Shuts the server down, in order: nothing more is admitted or started; its actors are asked
    /// to stop and aborted after the
    /// [shutdown timeout](crate::ServerBuilder::shutdown_timeout), and for as long its
    /// [mailboxes](Self::mailbox) hand out what they have admitted and their requests can be
    /// answered; then its registrations are deleted, its answers are sent, and its connections are
    /// closed. Every caller waits for its completion.
    ///
    /// So a request of a mailbox of the server that is answered only after the shutdown holds it up
    /// for the whole timeout: do not wait for it there.
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
        self.core.shutdown.cancel();
        self.stopped().await;
        self.core.result()
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
