//! Everything that runs on a peer under one session, and how to wait for its end.

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::client::Client;
use crate::environment::Environment;
use crate::mailbox::{MailboxOwner, MailboxTable, Stop};
use crate::name::Name;
use crate::server::actor::{ActorTable, ActorType};
use crate::server::counters::ServerCounters;
use crate::server::events::EventSource;
use crate::server::peer_core::PeerCore;
use crate::session::Names;

/// One session of a peer, as the actors and tasks under it see it.
pub(in crate::server) struct Life {
    core: Arc<PeerCore>,
    names: Names,
    tracker: TaskTracker,
    /// Of the peer's own mailboxes.
    stop: Arc<Stop>,
}

impl Life {
    pub(in crate::server) fn new(core: Arc<PeerCore>, names: Names) -> Self {
        Self {
            core,
            names,
            tracker: TaskTracker::new(),
            stop: Arc::default(),
        }
    }

    pub(in crate::server) fn names(&self) -> &Names {
        &self.names
    }

    pub(in crate::server) fn table(&self) -> &Arc<MailboxTable> {
        &self.core.table
    }

    pub(in crate::server) fn actors(&self) -> &Arc<ActorTable> {
        &self.core.actors
    }

    pub(in crate::server) fn counters(&self) -> &ServerCounters {
        &self.core.counters
    }

    pub(in crate::server) fn events(&self) -> &EventSource {
        &self.core.events
    }

    pub(in crate::server) fn client(&self) -> &Client {
        &self.core.client
    }

    pub(in crate::server) fn environment(&self) -> &Environment {
        &self.core.config.environment
    }

    pub(in crate::server) fn actor_type(&self, name: &Name) -> Option<ActorType> {
        self.core.actor_types.get(name).cloned()
    }

    /// How long an actor has to end when it is asked to.
    pub(in crate::server) fn stop_timeout(&self) -> std::time::Duration {
        self.core.config.shutdown_timeout
    }

    pub(in crate::server) fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    /// Whether nothing may be started any more.
    pub(in crate::server) fn is_stopping(&self) -> bool {
        self.stop.is_asked() || !self.names.fence().admits()
    }

    /// Ends when nothing may be started any more.
    pub(in crate::server) async fn stopping(&self) {
        self.stop.stopping(self.names.fence()).await;
    }

    /// Holds up the end of the life until it is dropped.
    pub(in crate::server) fn track(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// Ends when every actor of the life has ended. Nothing is started any more by then.
    pub(in crate::server) async fn actors_ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Opens mailboxes of the peer itself.
    pub(in crate::server) fn owner(&self) -> MailboxOwner {
        MailboxOwner {
            names: self.names.clone(),
            table: self.table().clone(),
            stop: self.stop.clone(),
        }
    }
}
