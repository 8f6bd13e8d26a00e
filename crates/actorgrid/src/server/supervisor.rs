//! The task that owns everything that runs on a peer, over all its sessions.

use std::sync::Arc;
use std::time::Duration;

use super::life::{LifeEnd, REVOKE_BOUND, serve};
use super::peer_core::PeerCore;
use super::shutdown_error::ShutdownError;
use super::state::ServerState;
use crate::route::serving::ProcessServer;
use crate::session::{FenceReason, Session};

/// The pause after a rejoin that failed for another reason than the registry.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);
/// The time for answers to reach their callers, at a shutdown.
pub(super) const ANSWER_BOUND: Duration = Duration::from_secs(1);

/// Says that the server has stopped when the supervisor ends before its time: the server was
/// dropped.
struct FinishOnDrop(Arc<PeerCore>);

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        if *self.0.state.borrow() != ServerState::Stopped {
            self.0.set_fence_reason(FenceReason::Dropped);
            self.0.finish(Err(ShutdownError {
                stuck: Vec::new(),
                not_revoked: true,
            }));
        }
    }
}

/// Runs the server from its first session to its shutdown.
pub(super) async fn supervise(core: Arc<PeerCore>, first: Session, process: ProcessServer) {
    let _finish = FinishOnDrop(core.clone());
    let mut session = Some(first);
    let mut left = Ok(());
    while let Some(current) = session.take() {
        match serve(&core, current).await {
            LifeEnd::Shutdown(result) => {
                process.shutdown(ANSWER_BOUND).await;
                core.finish(result);
                return;
            }
            LifeEnd::Fenced => {}
        }
        if core.shutdown.is_cancelled() {
            break;
        }
        let join = rejoin(&core);
        tokio::pin!(join);
        tokio::select! {
            biased;
            () = core.shutdown.cancelled() => {
                core.set_state(ServerState::Draining);
                left = withdraw(&core, join).await;
            }
            joined = &mut join => session = Some(joined),
        }
    }
    core.set_state(ServerState::Draining);
    process.shutdown(ANSWER_BOUND).await;
    core.finish(left);
}

/// Joins again, however long it takes.
async fn rejoin(core: &PeerCore) -> Session {
    let config = &core.config;
    let (environment, ttl) = (&config.environment, config.lease_ttl);
    loop {
        match Session::join(environment, &core.registry, &core.identity, ttl, true).await {
            Ok(session) => return session,
            Err(error) => tracing::error!(?error, "rejoining the grid is tried again"),
        }
        environment.sleep(REJOIN_PAUSE).await;
    }
}

/// Ends a rejoin that a shutdown came upon: what it has registered by then is deleted.
async fn withdraw(
    core: &PeerCore,
    join: impl Future<Output = Session>,
) -> Result<(), ShutdownError> {
    let withdrawn = async { join.await.revoke().await };
    let environment = &core.config.environment;
    let revoked = environment.timeout(REVOKE_BOUND, withdrawn).await;
    revoked.ok_or_else(|| ShutdownError {
        stuck: Vec::new(),
        not_revoked: true,
    })
}
