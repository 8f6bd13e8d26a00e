//! Serves under one session, from its beginning until it is fenced or the server shuts down.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::task::{JoinError, JoinSet};

use super::end::{LifeEnd, drain, end_dead, end_fenced};
use super::life::Life;
use crate::server::leader::lead;
use crate::server::peer_core::PeerCore;
use crate::server::peer_mailbox;
use crate::server::state::ServerState;
use crate::session::{Fence, FenceReason, Session};

/// Fences and aborts everything that is left under a session when serving under it ends in any way.
/// This also ends the session when the supervisor itself is dropped.
struct AbandonOnDrop(Arc<Life>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Serves under one session until it ends. A panic here is a defect of ours, and ends the session.
pub(in crate::server) async fn serve(core: &Arc<PeerCore>, session: Session) -> LifeEnd {
    let fence = session.fence().clone();
    let life = Arc::new(Life::new(core.clone(), session.names().clone()));
    let _abandon = AbandonOnDrop(life.clone());
    // A panic drops the session: its leases are left to expire.
    let expired = session.expired();
    let serving = AssertUnwindSafe(serve_life(core, &life, &fence, session)).catch_unwind();
    match serving.await {
        Ok(end) => end,
        Err(_) => end_dead(core, &life, &fence, expired).await,
    }
}

async fn serve_life(
    core: &Arc<PeerCore>,
    life: &Arc<Life>,
    fence: &Arc<Fence>,
    session: Session,
) -> LifeEnd {
    // An earlier death of the accept loop has cost this session nothing, so it does not fence it.
    let mut accepting_deaths = core.accepting_deaths.clone();
    accepting_deaths.mark_unchanged();
    // Opened before the peer serves, so that a request that follows at once is queued.
    let mailbox = peer_mailbox::open(life).await;
    core.set_owner(Some(life.owner()));
    core.counters.sessions.increment();
    tracing::info!(peer = %core.identity.peer(), token = %session.names().token(), "serving");
    core.set_serving(fence);

    // Spawned when the peer serves, so that no actor is reported before that. Joined at the end of
    // the life, which is fenced if one of them ends earlier. They run no user code: each start has
    // its own tasks for that.
    let mut tasks = JoinSet::new();
    match mailbox {
        Ok(mailbox) => drop(tasks.spawn(peer_mailbox::serve(life.clone(), mailbox))),
        // User code has opened a mailbox under the peer's own name.
        Err(error) => tracing::error!(%error, "the peer's mailbox cannot be opened"),
    }
    if core.leads() {
        tasks.spawn(lead(life.clone()));
    }

    let pinned = life.names().timed_registry();
    tokio::select! {
        biased;
        () = fence.fenced().cancelled() => {}
        () = core.shutdown.cancelled() => {}
        Some(ended) = tasks.join_next() => task_ended(fence, &ended),
        Ok(()) = accepting_deaths.changed() => {
            tracing::error!("the task that accepts connections died; another one replaces it");
            fence.trip(FenceReason::TaskDied);
        }
        () = core.registry.left(pinned.registry()) => {
            fence.trip(FenceReason::ClusterChanged);
        }
    }
    core.set_owner(None);
    let end = if fence.fenced().is_cancelled() {
        life.report_fence();
        end_fenced(core, life, fence, session, tasks).await
    } else {
        core.set_state(ServerState::Draining);
        drain(core, life, fence, session, tasks).await
    };
    life.ended();
    end
}

/// Handles the end of a task of the life that was not asked to end. It ends after the soft
/// deadline, which it may be the first to notice; otherwise it has died.
fn task_ended(fence: &Fence, ended: &Result<(), JoinError>) {
    if ended.is_ok() && !fence.admits() {
        return fence.trip(FenceReason::Deadline);
    }
    fence.trip(FenceReason::TaskDied);
    tracing::error!(
        ?ended,
        "the task of the peer's mailbox or of its leader died"
    );
}
