//! Serves under one session, from its beginning until it is fenced or the server shuts down.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::end::{LifeEnd, drain, end_fenced};
use super::life::Life;
use crate::server::leader::lead;
use crate::server::peer_core::PeerCore;
use crate::server::peer_mailbox;
use crate::server::state::ServerState;
use crate::session::{Fence, FenceReason, Session};

/// Fences and aborts what runs under a session when the supervisor itself is dropped.
struct AbortOnDrop(Arc<Fence>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.trip(FenceReason::Dropped);
        self.0.abort();
    }
}

/// Serves under one session, to its end.
pub(in crate::server) async fn serve(core: &Arc<PeerCore>, session: Session) -> LifeEnd {
    let _abort = AbortOnDrop(session.fence().clone());
    let fence = session.fence().clone();
    let life = Arc::new(Life::new(core.clone(), session.names().clone()));

    // Joined at the end of this function. They run no user code.
    let mut tasks = JoinSet::new();
    match peer_mailbox::open(&life).await {
        Ok(mailbox) => drop(tasks.spawn(peer_mailbox::serve(life.clone(), mailbox))),
        // Only a mailbox that user code has opened under the peer's own name stands in the way.
        Err(error) => tracing::error!(%error, "the peer's mailbox cannot be opened"),
    }
    if core.leads() {
        tasks.spawn(lead(life.clone()));
    }
    core.set_owner(Some(life.owner()));
    core.counters.sessions.increment();
    tracing::info!(peer = %core.identity.peer(), token = %session.names().token(), "serving");
    core.set_serving(&fence);

    tokio::select! {
        biased;
        () = fence.fenced().cancelled() => {}
        () = core.shutdown.cancelled() => {}
    }
    core.set_owner(None);
    if fence.fenced().is_cancelled() {
        core.counters.sessions_fenced.increment();
        // Set before the fence is tripped for all to see.
        let reason = fence.reason().unwrap_or(FenceReason::Deadline);
        core.set_fenced(reason);
        tracing::error!(?reason, "fenced: actors are ending");
        end_fenced(core, &life, &fence, session, tasks).await
    } else {
        core.set_state(ServerState::Draining);
        drain(core, &life, &fence, session, tasks).await
    }
}
