//! The handle of a server, which can be shared: its identity, state, mailboxes and shutdown.

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

/// A handle to a server. Cheap to clone; it does not keep the server running.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) core: Arc<PeerCore>,
}

impl ServerHandle {
    /// Returns the peer's name.
    #[must_use]
    pub fn peer(&self) -> &Name {
        self.core.identity.peer()
    }

    /// Returns the address at which other peers reach this one.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.core.identity.address
    }

    /// Returns the grid's namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.core.identity.namespace
    }

    /// Returns the peer's client. Requests that it sends to mailboxes of this peer do not leave the
    /// process. The client is closed when the server has stopped.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.core.client
    }

    /// Returns the current state of the server.
    #[must_use]
    pub fn state(&self) -> ServerState {
        *self.core.state.borrow()
    }

    /// Returns why the peer was last fenced; `None` if it never was. The reason is kept after the
    /// peer has rejoined: [`state`](Self::state) reports whether the peer is fenced now.
    #[must_use]
    pub fn fence_reason(&self) -> Option<FenceReason> {
        self.core.fence_reason()
    }

    /// Returns the events of the server from now on: its states, its actors, and the leader on this
    /// peer.
    ///
    /// Events cost nothing while nobody listens. Call this before [`state`](Self::state) so as not
    /// to miss a change between the two; [`ServerBuilder::events`](crate::ServerBuilder::events)
    /// returns all events, starting before the first state.
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

    /// Returns the server's counters, over all its sessions. Reading them takes no lock and slows
    /// nothing down. The peer's [client](Self::client) counts the peer's own requests.
    #[must_use]
    pub fn statistics(&self) -> ServerStatistics {
        let core = &self.core;
        let under_way = core.starts.under_way();
        core.counters
            .read(core.table.counters(), &core.wire, under_way)
    }

    /// Waits until the server is in this state, or has stopped. Cancel safe. This call can miss a
    /// state that lasts only briefly; [`events`](Self::events) reports every state.
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
    /// [`MAX_MAILBOX_CAPACITY`](crate::MAX_MAILBOX_CAPACITY)). The mailbox ends with the session
    /// under which it was opened.
    ///
    /// # Errors
    ///
    /// Fails with a [`MailboxError`]; nothing is left registered, with the exception given there.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases everything that the call has registered by then.
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

    /// Switches the server, and everything else that shares its [`Registry`](crate::Registry), to
    /// another cluster that has replaced the previous one. The peer joins the grid in the new
    /// cluster. See [`Registry::follow_cluster`](crate::Registry::follow_cluster).
    ///
    /// # Errors
    ///
    /// The same as those of [`Registry::follow_cluster`](crate::Registry::follow_cluster).
    ///
    /// # Cancel safety
    ///
    /// The same as that of [`Registry::follow_cluster`](crate::Registry::follow_cluster).
    pub async fn follow_cluster(&self, cluster: ClusterId) -> Result<(), RegistryError> {
        self.core.registry.follow_cluster(cluster).await
    }

    /// Shuts the server down, in this order:
    ///
    /// 1. Nothing more is admitted or started.
    /// 2. Its actors are asked to stop, and those that still run after the
    ///    [shutdown timeout](crate::ServerBuilder::shutdown_timeout) are aborted. Within the same
    ///    time its [mailboxes](Self::mailbox) hand out the requests that they have admitted, and
    ///    those can be answered.
    /// 3. Its registrations are deleted, its last answers are sent, and its connections are closed.
    ///
    /// Every caller of this method waits until the shutdown is complete.
    ///
    /// A request to one of the server's mailboxes therefore delays the shutdown until it is
    /// answered, for up to the whole timeout: do not wait for the shutdown before you answer it.
    ///
    /// # Errors
    ///
    /// Fails with a [`ShutdownError`] that lists everything that could not be ended. The server has
    /// stopped nevertheless.
    ///
    /// # Cancel safety
    ///
    /// The shutdown continues if the future is dropped, unless the server is dropped too.
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
