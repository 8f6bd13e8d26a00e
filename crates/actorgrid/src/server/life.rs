use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Shared;
use super::actor_type::ActorType;
use super::actors::Actors;
use super::statistics::Counters;
use crate::client::Client;
use crate::environment::Environment;
use crate::mailbox::{MailboxOwner, MailboxTable, Stop};
use crate::name::Name;
use crate::session::Names;

/// What runs on a peer under one session.
pub(super) struct Life {
    shared: Arc<Shared>,
    names: Names,
    tracker: TaskTracker,
    /// Of the peer's own mailboxes.
    stop: Arc<Stop>,
}

impl Life {
    pub(super) fn new(shared: Arc<Shared>, names: Names) -> Self {
        Self {
            shared,
            names,
            tracker: TaskTracker::new(),
            stop: Arc::default(),
        }
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    pub(super) fn table(&self) -> &Arc<MailboxTable> {
        &self.shared.table
    }

    pub(super) fn actors(&self) -> &Arc<Actors> {
        &self.shared.actors
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub(super) fn client(&self) -> &Client {
        &self.shared.client
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.shared.config.environment
    }

    pub(super) fn actor_type(&self, name: &Name) -> Option<ActorType> {
        self.shared.actor_types.get(name).cloned()
    }

    /// How long an actor has to end when it is asked to.
    pub(super) fn stop_timeout(&self) -> std::time::Duration {
        self.shared.config.shutdown_timeout
    }

    pub(super) fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    /// Whether nothing may be started any more.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_asked() || !self.names.fence().admits()
    }

    /// Ends when nothing may be started any more.
    pub(super) async fn stopping(&self) {
        self.stop.stopping(self.names.fence()).await;
    }

    /// Holds up the end of the life until it is dropped.
    pub(super) fn track(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// Ends when every actor of the life has ended. Nothing is started any more by then.
    pub(super) async fn actors_ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// What opens mailboxes of the peer itself.
    pub(super) fn owner(&self) -> MailboxOwner {
        MailboxOwner {
            names: self.names.clone(),
            table: self.table().clone(),
            stop: self.stop.clone(),
        }
    }
}
