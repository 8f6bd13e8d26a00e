//! A life: everything that runs on a peer under one session, and how to wait for its end.

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

/// One session of a peer, as seen by the actors and tasks under it.
pub(in crate::server) struct Life {
    core: Arc<PeerCore>,
    names: Names,
    tracker: TaskTracker,
    /// Requests that the server's own mailboxes have admitted, until they are answered.
    requests: TaskTracker,
    /// The stop order of the peer's own mailboxes.
    stop: Arc<Stop>,
    /// Completed once a fence of the session is reported, or can no longer occur.
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

    /// Returns the time to live that the peer requests for its leases.
    pub(in crate::server) fn lease_ttl(&self) -> std::time::Duration {
        self.core.config.lease_ttl
    }

    /// Returns how long a constructor may take.
    pub(in crate::server) fn constructor_timeout(&self) -> std::time::Duration {
        self.core.config.constructor_timeout
    }

    /// Returns how long an actor has to end after it is asked to stop.
    pub(in crate::server) fn stop_timeout(&self) -> std::time::Duration {
        self.core.config.shutdown_timeout
    }

    pub(in crate::server) fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    /// Whether nothing more may be started.
    pub(in crate::server) fn is_stopping(&self) -> bool {
        self.stop.is_asked() || !self.names.fence().admits()
    }

    /// Waits until nothing more may be started.
    pub(in crate::server) async fn stopping(&self) {
        self.stop.stopping().await;
    }

    /// Reports the fence if the session is fenced: once, and before this returns. Call this before
    /// reporting anything that the fence may have caused, because the supervisor and the actors
    /// notice a fence at the same time.
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

    /// Records that the session has ended in order: a fence is no longer reported.
    pub(super) fn ended(&self) {
        self.fence_reported.call_once_force(|_| {});
    }

    /// Fences and aborts everything that runs under the session when its supervisor is dropped. The
    /// state of the server does not change to fenced: the server stops next.
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

    /// Reports the actors that do not end, and ends the process if that is configured.
    pub(in crate::server) fn report_stuck(&self) {
        self.core.report_stuck();
    }

    /// Delays the end of the life until the returned token is dropped.
    pub(in crate::server) fn track(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// Waits until every actor of the life has ended. Nothing more is started by then.
    pub(in crate::server) async fn actors_ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Waits until every request that the server's own mailboxes have admitted is answered. Nothing
    /// more is admitted by then.
    pub(super) async fn requests_answered(&self) {
        self.requests.close();
        self.requests.wait().await;
    }

    /// Opens the peer's own mailbox. A shutdown does not wait for the requests that it has
    /// admitted: starts and stops end with the actors.
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
