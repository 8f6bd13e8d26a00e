//! Ends everything that runs under a session: after a fence, or in order at a shutdown.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::life::Life;
use crate::mailbox::StopReason;
use crate::server::peer_core::PeerCore;
use crate::server::shutdown_error::ShutdownError;
use crate::server::state::ServerState;
use crate::session::{Fence, FenceReason, Session};

/// How long an aborted actor has to end. An abort takes effect at the next await; code that has
/// none for this long is stuck.
pub(in crate::server) const ABORT_GRACE: Duration = Duration::from_secs(1);
/// How long the registry has at a shutdown to confirm that a session with one lease is gone.
pub(in crate::server) const REVOKE_BOUND: Duration = Duration::from_secs(2);
/// How much longer it has for each further lease, which are revoked one after the other. This is
/// several times what etcd takes.
const REVOKE_BOUND_PER_LEASE: Duration = Duration::from_millis(50);

/// How a life ended.
pub(in crate::server) enum LifeEnd {
    /// Fenced, and gone from the registry.
    Fenced,
    Shutdown(Result<(), ShutdownError>),
}

/// Ends everything that ran under a fenced session, and removes the session from the registry. The
/// time for this is limited if a shutdown is requested meanwhile, or if the session's registry is
/// left: names in that registry delay nobody in the next one.
pub(super) async fn end_fenced(
    core: &Arc<PeerCore>,
    life: &Arc<Life>,
    fence: &Arc<Fence>,
    session: Session,
    tasks: JoinSet<()>,
) -> LifeEnd {
    abort_without_names(fence);
    let ended = async {
        tokio::select! {
            biased;
            () = life.actors_ended() => return true,
            () = after_abort(core, fence) => {}
        }
        core.report_stuck();
        false
    };
    let bound = revoke_bound(&session);
    let clear = async {
        let clean = ended.await & end_tasks(core, tasks).await;
        core.set_state(ServerState::Rejoining);
        let cleared = async {
            if clean {
                session.revoke().await;
            } else {
                // Something may still be running: its names are not released before they must be.
                session.run_out().await;
            }
        };
        tokio::select! {
            biased;
            () = cleared => {}
            () = left_bound(core, life) => {
                tracing::warn!("the previous registry did not confirm the end of the session");
            }
        }
    };
    tokio::select! {
        biased;
        () = clear => LifeEnd::Fenced,
        () = shut_down_bound(core, bound) => LifeEnd::Shutdown(Err(ShutdownError {
            stuck: core.actors.unended(),
            not_revoked: true,
        })),
    }
}

/// Returns how long the registry has at a shutdown to confirm that the session is gone.
fn revoke_bound(session: &Session) -> Duration {
    let further = u32::try_from(session.further_leases()).unwrap_or(u32::MAX);
    REVOKE_BOUND + REVOKE_BOUND_PER_LEASE * further
}

/// Aborts everything that runs under a fenced session if its names are already gone, or if there is
/// another registry in which others can take them: no time is left then. Otherwise the watchdog
/// aborts it at the hard deadline.
fn abort_without_names(fence: &Fence) {
    if let Some(FenceReason::LeaseLost | FenceReason::ClusterChanged) = fence.reason() {
        fence.abort();
    }
}

/// Ends everything that ran under a session whose serving task has panicked. Waits until all its
/// leases have `expired`: nobody knows what may still run under it. A shutdown does not wait for
/// that, nor does a server that follows another registry.
pub(super) async fn end_dead(
    core: &PeerCore,
    life: &Life,
    fence: &Fence,
    expired: impl Future<Output = ()>,
) -> LifeEnd {
    fence.trip(FenceReason::TaskDied);
    fence.abort();
    core.set_owner(None);
    life.stop().end();
    life.report_fence();
    tracing::error!("the serving task panicked: the peer waits until its leases have expired");
    let environment = &core.config.environment;
    let ended = environment.timeout(ABORT_GRACE, life.actors_ended()).await;
    if ended.is_none() {
        core.report_stuck();
    }
    if !core.shutdown.is_cancelled() {
        core.set_state(ServerState::Rejoining);
    }
    tokio::select! {
        biased;
        () = core.shutdown.cancelled() => LifeEnd::Shutdown(Err(ShutdownError {
            stuck: core.actors.unended(),
            not_revoked: true,
        })),
        () = left_bound(core, life) => LifeEnd::Fenced,
        () = expired => LifeEnd::Fenced,
    }
}

/// Aborts and joins the life's own tasks, and returns whether they have ended. They run no user
/// code, so a task that does not end is a defect of ours; it must not delay the end of the life
/// forever.
async fn end_tasks(core: &PeerCore, mut tasks: JoinSet<()>) -> bool {
    let environment = &core.config.environment;
    let ended = environment.timeout(ABORT_GRACE, tasks.shutdown()).await;
    if ended.is_none() {
        let left = tasks.len();
        tracing::error!(
            left,
            "aborted tasks of the peer's mailbox or its leader do not end"
        );
    }
    ended.is_some()
}

/// Waits until the session is aborted and its actors have had their time to end.
async fn after_abort(core: &PeerCore, fence: &Fence) {
    fence.aborted().cancelled().await;
    core.config.environment.sleep(ABORT_GRACE).await;
}

/// Waits until a shutdown was requested and its time has passed, of which this much is for the
/// registry.
async fn shut_down_bound(core: &PeerCore, revoke_bound: Duration) {
    core.shutdown.cancelled().await;
    let bound = core
        .config
        .shutdown_timeout
        .saturating_add(ABORT_GRACE + revoke_bound);
    core.config.environment.sleep(bound).await;
}

/// Waits until the server follows another registry than the session's, and the session's registry
/// has had its time to answer: it may never do so again.
async fn left_bound(core: &PeerCore, life: &Life) {
    let pinned = life.names().timed_registry();
    core.registry.left(pinned.registry()).await;
    core.config.environment.sleep(REVOKE_BOUND).await;
}

/// Ends everything in order: the actors and the requests that the server's mailboxes have admitted,
/// then the session.
pub(super) async fn drain(
    core: &Arc<PeerCore>,
    life: &Arc<Life>,
    fence: &Arc<Fence>,
    session: Session,
    tasks: JoinSet<()>,
) -> LifeEnd {
    let environment = &core.config.environment;
    let until = environment.now() + core.config.shutdown_timeout;
    // The peer's mailboxes first, so that everything that is started is also asked to stop.
    life.stop().ask(StopReason::Shutdown, until);
    core.actors.ask(StopReason::Shutdown, until);
    let work = async {
        let requests = end_requests(core, life, fence);
        tokio::join!(end_actors(core, life, fence), requests).0
    };
    let ended = reporting_a_fence(core, life, fence, work).await;
    life.stop().end();
    let ended = ended & end_tasks(core, tasks).await;
    // An actor that an earlier session could not end holds no name of this one.
    let stuck = if core.actors.unended().is_empty() {
        Vec::new()
    } else {
        core.report_stuck()
    };
    let bound = revoke_bound(&session);
    let revoked = ended && environment.timeout(bound, session.revoke()).await.is_some();
    if stuck.is_empty() && revoked {
        return LifeEnd::Shutdown(Ok(()));
    }
    LifeEnd::Shutdown(Err(ShutdownError {
        stuck,
        not_revoked: !revoked,
    }))
}

/// Waits for the actors, which have been asked to stop, and aborts them at the end of their time. A
/// fence may abort them earlier. Returns whether all of them have ended.
async fn end_actors(core: &PeerCore, life: &Life, fence: &Fence) -> bool {
    let environment = &core.config.environment;
    tokio::select! {
        biased;
        () = life.actors_ended() => return true,
        () = fence.aborted().cancelled() => {}
        () = environment.sleep(core.config.shutdown_timeout) => {
            tracing::warn!("actors did not end in time and are aborted");
            fence.abort();
        }
    }
    let ended = environment.timeout(ABORT_GRACE, life.actors_ended()).await;
    ended.is_some()
}

/// Waits until the requests that the server's own mailboxes have admitted are handed out and
/// answered, for as long as actors have to end. A fenced session gives no answers.
async fn end_requests(core: &PeerCore, life: &Life, fence: &Fence) {
    let answered = async {
        tokio::select! {
            biased;
            () = fence.fenced().cancelled() => {}
            () = life.requests_answered() => {}
        }
    };
    let bound = core.config.shutdown_timeout;
    let ended = core.config.environment.timeout(bound, answered).await;
    if ended.is_none() {
        tracing::warn!("requests to mailboxes of the server were not answered in time");
    }
}

/// Carries out `work`. If the session is fenced meanwhile, or its registry is left, reports the
/// fence and aborts everything that has no time left.
async fn reporting_a_fence<T>(
    core: &PeerCore,
    life: &Life,
    fence: &Fence,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let pinned = life.names().timed_registry();
    tokio::select! {
        biased;
        () = fence.fenced().cancelled() => {}
        () = core.registry.left(pinned.registry()) => {
            fence.trip(FenceReason::ClusterChanged);
        }
        done = &mut work => return done,
    }
    life.report_fence();
    abort_without_names(fence);
    work.await
}
