//! The task that owns everything that runs on a peer, over all its sessions.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Shared;
use super::error::ShutdownError;
use super::leader;
use super::life::Life;
use super::peer_mailbox;
use super::state::ServerState;
use crate::mailbox::StopReason;
use crate::route::serving::ProcessServer;
use crate::session::{Fence, FenceReason, Session};

/// What an aborted actor is given to notice it. An abort works at the next await; who has none for
/// this long is stuck in synchronous code.
const ABORT_GRACE: Duration = Duration::from_secs(1);
/// The time for the registry to confirm, at a shutdown, that the session is gone.
const REVOKE_BOUND: Duration = Duration::from_secs(2);
/// The pause after a rejoin that failed for another reason than the registry.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);
/// The time for answers to reach their callers, at a shutdown.
pub(super) const ANSWER_BOUND: Duration = Duration::from_secs(1);

/// Fences and aborts what runs under a session when the supervisor itself is dropped.
struct AbortOnDrop(Arc<Fence>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.trip(FenceReason::Dropped);
        self.0.abort();
    }
}

/// Says that the server has stopped when the supervisor ends before its time: the server was
/// dropped.
struct FinishOnDrop(Arc<Shared>);

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        if *self.0.state.borrow() != ServerState::Stopped {
            self.0.finish(Err(ShutdownError {
                stuck: Vec::new(),
                not_revoked: true,
            }));
        }
    }
}

/// Runs the server from its first session to its shutdown.
pub(super) async fn supervise(shared: Arc<Shared>, first: Session, process: ProcessServer) {
    let _finish = FinishOnDrop(shared.clone());
    let mut session = Some(first);
    let mut left = Ok(());
    while let Some(current) = session.take() {
        match live(&shared, current).await {
            After::Shutdown(result) => {
                process.shutdown(ANSWER_BOUND).await;
                shared.finish(result);
                return;
            }
            After::Fenced => {}
        }
        if shared.shutdown.is_cancelled() {
            break;
        }
        let join = rejoin(&shared);
        tokio::pin!(join);
        tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => {
                shared.set_state(ServerState::Draining);
                left = withdraw(&shared, join).await;
            }
            joined = &mut join => session = Some(joined),
        }
    }
    shared.set_state(ServerState::Draining);
    process.shutdown(ANSWER_BOUND).await;
    shared.finish(left);
}

/// Joins again, however long it takes.
async fn rejoin(shared: &Shared) -> Session {
    let config = &shared.config;
    let (environment, ttl) = (&config.environment, config.lease_ttl);
    loop {
        match Session::join(environment, &shared.registry, &shared.identity, ttl, true).await {
            Ok(session) => return session,
            Err(error) => tracing::error!(?error, "rejoining the grid is tried again"),
        }
        environment.sleep(REJOIN_PAUSE).await;
    }
}

/// Ends a rejoin that a shutdown came upon: what it has registered by then is deleted.
async fn withdraw(
    shared: &Shared,
    join: impl Future<Output = Session>,
) -> Result<(), ShutdownError> {
    let withdrawn = async { join.await.revoke().await };
    let environment = &shared.config.environment;
    let revoked = environment.timeout(REVOKE_BOUND, withdrawn).await;
    revoked.ok_or_else(|| ShutdownError {
        stuck: Vec::new(),
        not_revoked: true,
    })
}

/// How a session of the server ended.
enum After {
    Fenced,
    Shutdown(Result<(), ShutdownError>),
}

/// Serves under one session, to its end.
async fn live(shared: &Arc<Shared>, session: Session) -> After {
    let _abort = AbortOnDrop(session.fence().clone());
    let fence = session.fence().clone();
    let life = Arc::new(Life::new(shared.clone(), session.names().clone()));

    // Joined at the end of this function. They run no user code.
    let mut tasks = JoinSet::new();
    match peer_mailbox::open(&life).await {
        Ok(mailbox) => drop(tasks.spawn(peer_mailbox::serve(life.clone(), mailbox))),
        // Only a mailbox that user code has opened under the peer's own name stands in the way.
        Err(error) => tracing::error!(%error, "the peer's mailbox cannot be opened"),
    }
    if shared.leads() {
        tasks.spawn(leader::lead(life.clone()));
    }
    shared.set_life(Some(&life));
    shared.counters.sessions.increment();
    tracing::info!(peer = %shared.identity.peer(), token = %session.names().token(), "serving");
    shared.set_serving(&fence);

    tokio::select! {
        biased;
        () = fence.fenced().cancelled() => {}
        () = shared.shutdown.cancelled() => {}
    }
    shared.set_life(None);
    if fence.fenced().is_cancelled() {
        shared.counters.sessions_fenced.increment();
        shared.set_state(ServerState::Fenced);
        tracing::error!(reason = ?fence.reason(), "fenced: actors are ending");
        end_fenced(shared, &life, &fence, session, tasks).await
    } else {
        shared.set_state(ServerState::Draining);
        drain(shared, &life, &fence, session, tasks).await
    }
}

/// Ends what ran under a fenced session, and clears it from the registry. A shutdown meanwhile
/// bounds it.
async fn end_fenced(
    shared: &Arc<Shared>,
    life: &Arc<Life>,
    fence: &Arc<Fence>,
    session: Session,
    mut tasks: JoinSet<()>,
) -> After {
    // The watchdog aborts them at the hard deadline; a lost lease leaves no time.
    if fence.reason() == Some(FenceReason::LeaseLost) {
        fence.abort();
    }
    let ended = async {
        tokio::select! {
            biased;
            () = life.actors_ended() => return true,
            () = after_abort(shared, fence) => {}
        }
        shared.report_stuck();
        false
    };
    let clear = async {
        let clean = ended.await;
        tasks.shutdown().await;
        shared.set_state(ServerState::Rejoining);
        if clean {
            session.revoke().await;
        } else {
            // It may still act: its names are not given up before they must be.
            session.run_out().await;
        }
    };
    tokio::select! {
        biased;
        () = clear => After::Fenced,
        () = shut_down_bound(shared) => After::Shutdown(Err(ShutdownError {
            stuck: shared.actors.unended(),
            not_revoked: true,
        })),
    }
}

/// Ends when actors that were aborted have had their time.
async fn after_abort(shared: &Shared, fence: &Fence) {
    fence.aborted().cancelled().await;
    shared.config.environment.sleep(ABORT_GRACE).await;
}

/// Ends when a shutdown was asked for and its bound has passed.
async fn shut_down_bound(shared: &Shared) {
    shared.shutdown.cancelled().await;
    let bound = shared
        .config
        .shutdown_timeout
        .saturating_add(ABORT_GRACE + REVOKE_BOUND);
    shared.config.environment.sleep(bound).await;
}

/// Ends everything in order: actors, then the session.
async fn drain(
    shared: &Arc<Shared>,
    life: &Arc<Life>,
    fence: &Arc<Fence>,
    session: Session,
    mut tasks: JoinSet<()>,
) -> After {
    let environment = &shared.config.environment;
    let until = environment.now() + shared.config.shutdown_timeout;
    // The peer's mailboxes first: nothing is started that is not asked to stop.
    life.stop().ask(StopReason::Shutdown, until);
    shared.actors.ask(StopReason::Shutdown, until);
    let bound = shared.config.shutdown_timeout;
    if environment
        .timeout(bound, life.actors_ended())
        .await
        .is_none()
    {
        tracing::warn!("actors did not end in time and are aborted");
        fence.abort();
    }
    let ended = environment
        .timeout(ABORT_GRACE, life.actors_ended())
        .await
        .is_some();
    life.stop().end();
    tasks.shutdown().await;
    // One that an earlier session could not end holds no name of this one.
    let stuck = if shared.actors.unended().is_empty() {
        Vec::new()
    } else {
        shared.report_stuck()
    };
    let revoked = ended
        && environment
            .timeout(REVOKE_BOUND, session.revoke())
            .await
            .is_some();
    if stuck.is_empty() && revoked {
        return After::Shutdown(Ok(()));
    }
    After::Shutdown(Err(ShutdownError {
        stuck,
        not_revoked: !revoked,
    }))
}
