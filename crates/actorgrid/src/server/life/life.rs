//! Everything that runs on a peer under one session, and how to wait for its end.

use std::sync::{Arc, Once};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::client::Client;
use crate::environment::Environment;
use crate::mailbox::{MailboxOwner, MailboxTable, Stop};
use crate::name::Name;
use crate::server::actor::{ActorTable, ActorType, StartBudget};
use crate::server::counters::ServerCounters;
use crate::server::events::EventSource;
use crate::server::peer_core::PeerCore;
use crate::session::{FenceReason, Names};

/// One session of a peer, as the actors and tasks under it see it.
pub(in crate::server) struct Life {
    core: Arc<PeerCore>,
    names: Names,
    tracker: TaskTracker,
    /// Requests that the server's own mailboxes have admitted, until they are answered.
    requests: TaskTracker,
    /// Of the peer's own mailboxes.
    stop: Arc<Stop>,
    /// Done when a fence of the session is reported, or can no longer come.
    fence_reported: Once,
}

impl Life {
    pub(in crate::server) fn new(core: Arc<PeerCore>, names: Names) -> Self {
        Self {
            stop: Arc::new(Stop::new(names.fence())),
            core,
            names,
            tracker: TaskTracker::new(),
            requests: TaskTracker::new(),
            fence_reported: Once::new(),
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

    pub(in crate::server) fn starts(&self) -> &Arc<StartBudget> {
        &self.core.starts
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

    /// The time to live that leases are asked for.
    pub(in crate::server) fn lease_ttl(&self) -> std::time::Duration {
        self.core.config.lease_ttl
    }

    /// How long a constructor may take.
    pub(in crate::server) fn constructor_timeout(&self) -> std::time::Duration {
        self.core.config.constructor_timeout
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
        self.stop.stopping().await;
    }

    /// Reports the fence if the session is fenced: once, and before this returns. To be called
    /// before anything is reported that may follow from the fence, as the supervisor and the actors
    /// notice it at the same time.
    pub(in crate::server) fn report_fence(&self) {
        let fence = self.names.fence();
        if fence.admits() {
            return;
        }
        // An actor may read the clock before the keeper and the watchdog do.
        fence.trip(FenceReason::Deadline);
        self.fence_reported.call_once_force(|_| {
            let reason = fence.reason().unwrap_or(FenceReason::Deadline);
            self.core.counters.sessions_fenced.increment();
            self.core.set_fenced(reason);
            tracing::error!(?reason, "fenced: actors are ending");
        });
    }

    /// The session has ended in order: no fence is reported any more.
    pub(super) fn ended(&self) {
        self.fence_reported.call_once_force(|_| {});
    }

    /// Fences and aborts what runs under the session when its supervisor is dropped. That is no
    /// change of the server's state: it stops next.
    pub(super) fn abandon(&self) {
        let fence = self.names.fence();
        self.fence_reported.call_once_force(|_| {
            fence.trip(FenceReason::Dropped);
            let reason = fence.reason().unwrap_or(FenceReason::Dropped);
            self.core.set_fence_reason(reason);
        });
        fence.trip(FenceReason::Dropped);
        fence.abort();
    }

    /// Reports the actors that do not end, and ends the process if that was asked for.
    pub(in crate::server) fn report_stuck(&self) {
        self.core.report_stuck();
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

    /// Ends when every request that the server's own mailboxes have admitted is answered. Nothing is
    /// admitted any more by then.
    pub(super) async fn requests_answered(&self) {
        self.requests.close();
        self.requests.wait().await;
    }

    /// Opens the peer's own mailbox. What it has admitted is not waited for: starts and stops end
    /// with the actors.
    pub(in crate::server) fn peer_owner(&self) -> MailboxOwner {
        MailboxOwner {
            requests: None,
            ..self.owner()
        }
    }

    /// Opens mailboxes of the server.
    pub(in crate::server) fn owner(&self) -> MailboxOwner {
        MailboxOwner {
            names: self.names.clone(),
            table: self.table().clone(),
            stop: self.stop.clone(),
            requests: Some(self.requests.clone()),
        }
    }
}
