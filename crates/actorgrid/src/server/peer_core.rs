//! The state that everything on a peer shares, over all its sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::actor::{ActorTable, ActorType, StartBudget};
use super::counters::ServerCounters;
use super::events::{EventSource, ServerEvent};
use super::leader::LEADER;
use super::shutdown_error::ShutdownError;
use super::state::ServerState;
use crate::client::Client;
use crate::environment::Environment;
use crate::mailbox::{MailboxOwner, MailboxTable};
use crate::name::Name;
use crate::registry::Registry;
use crate::route::Admission;
use crate::route::serving::ServingGauges;
use crate::session::{Fence, FenceReason, Identity, NAMES_PER_LEASE, SessionTerms};

/// The state of a peer that outlives its sessions.
pub(super) struct PeerCore {
    pub(super) config: PeerConfig,
    pub(super) registry: Registry,
    pub(super) identity: Identity,
    pub(super) actor_types: HashMap<Name, ActorType>,
    pub(super) table: Arc<MailboxTable>,
    pub(super) actors: Arc<ActorTable>,
    pub(super) starts: Arc<StartBudget>,
    pub(super) counters: ServerCounters,
    pub(super) wire: ServingGauges,
    /// The number of times that the task that accepts connections has died.
    pub(super) accepting_deaths: watch::Receiver<u64>,
    pub(super) client: Client,
    pub(super) state: watch::Sender<ServerState>,
    pub(super) events: EventSource,
    /// Why the peer was last fenced.
    pub(super) fence_reason: Mutex<Option<FenceReason>>,
    /// The fence of the session under which the peer serves, for questions over the wire.
    pub(super) serving: watch::Sender<Option<Arc<dyn Admission>>>,
    /// Opens the peer's own mailboxes while it serves.
    pub(super) owner: Mutex<Option<MailboxOwner>>,
    pub(super) shutdown: CancellationToken,
    pub(super) result: Mutex<Option<Result<(), ShutdownError>>>,
}

/// The settings of a peer that matter while it runs.
pub(super) struct PeerConfig {
    pub(super) environment: Environment,
    pub(super) lease_ttl: Duration,
    pub(super) join_timeout: Duration,
    pub(super) max_stall: Duration,
    pub(super) shutdown_timeout: Duration,
    pub(super) constructor_timeout: Duration,
    pub(super) leadership: bool,
    pub(super) abort_process_when_stuck: bool,
}

impl Admission for Fence {
    fn admits(&self) -> bool {
        Self::admits(self)
    }
}

impl PeerCore {
    /// Returns the terms of each session.
    pub(super) fn terms(&self) -> SessionTerms {
        SessionTerms {
            ttl: self.config.lease_ttl,
            names_per_lease: NAMES_PER_LEASE,
            join_timeout: self.config.join_timeout,
            max_stall: self.config.max_stall,
            longest_stall: self.counters.longest_stall.clone(),
        }
    }

    /// Sets a state in which the peer does not serve.
    pub(super) fn set_state(&self, state: ServerState) {
        // First, so that nobody who has seen the new state can still be answered over the wire that
        // the peer serves.
        self.serving.send_if_modified(|now| now.take().is_some());
        self.change_state(state, None);
    }

    pub(super) fn set_serving(&self, fence: &Arc<Fence>) {
        self.serving.send_replace(Some(fence.clone()));
        self.change_state(ServerState::Serving, None);
    }

    pub(super) fn set_fenced(&self, reason: FenceReason) {
        self.set_fence_reason(reason);
        self.serving.send_if_modified(|now| now.take().is_some());
        self.change_state(ServerState::Fenced, Some(reason));
    }

    /// Records that the registry was replaced by another one.
    pub(super) fn set_detached(&self) {
        self.change_state(ServerState::Detached, Some(FenceReason::ClusterChanged));
    }

    pub(super) fn set_fence_reason(&self, reason: FenceReason) {
        *lock(&self.fence_reason) = Some(reason);
    }

    pub(super) fn fence_reason(&self) -> Option<FenceReason> {
        *lock(&self.fence_reason)
    }

    /// Only the supervisor changes the state, and whatever first notices that a session is fenced:
    /// see `Life::report_fence`. A reader that subscribes after seeing a state does not get the
    /// event of it.
    fn change_state(&self, state: ServerState, reason: Option<FenceReason>) {
        self.events.publish_change(
            || self.state.send_replace(state) != state,
            || ServerEvent::StateChanged { state, reason },
        );
    }

    pub(super) fn set_owner(&self, owner: Option<MailboxOwner>) {
        *lock(&self.owner) = owner;
    }

    /// Returns the owner of the peer's own mailboxes; `None` while the peer does not serve.
    pub(super) fn owner(&self) -> Option<MailboxOwner> {
        lock(&self.owner).clone()
    }

    /// Whether this peer is a candidate for the leader.
    pub(super) fn leads(&self) -> bool {
        self.config.leadership && self.actor_types.contains_key(LEADER)
    }

    pub(super) fn finish(&self, result: Result<(), ShutdownError>) {
        *lock(&self.result) = Some(result);
        // A dropped server leaves the owner of its session behind.
        self.set_owner(None);
        // A handle that is kept must not keep connections open.
        self.client.close_now();
        self.set_state(ServerState::Stopped);
        self.events.close();
    }

    /// Returns the result of the shutdown, once the server has stopped.
    pub(super) fn result(&self) -> Result<(), ShutdownError> {
        lock(&self.result).clone().unwrap_or(Ok(()))
    }

    /// Logs which actors do not end as an error, and ends the process if that is configured.
    pub(super) fn report_stuck(&self) -> Vec<Name> {
        let stuck = self.actors.unended();
        tracing::error!(
            ?stuck,
            "aborted actors do not end: their code, or one of their tasks, never awaits"
        );
        if self.config.abort_process_when_stuck {
            std::process::abort();
        }
        stuck
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
