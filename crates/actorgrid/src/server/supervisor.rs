//! The task that owns everything that runs on a peer, over all its sessions.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::address_holder::AddressHolder;
use super::error::ServerError;
use super::life::{LifeEnd, REVOKE_BOUND, serve};
use super::peer_core::{PeerConfig, PeerCore};
use super::shutdown_error::ShutdownError;
use super::state::ServerState;
use crate::route::CallDeadlines;
use crate::route::serving::ProcessServer;
use crate::session::{JoinError, Session};
use crate::token::Token;

/// The pause after a failed rejoin. A registry that does not answer is no such failure: the rejoin
/// retries it, with a back-off.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);
/// How long answers have to reach their callers at a shutdown.
const ANSWER_BOUND: Duration = Duration::from_secs(1);

/// Reports that the server has stopped if the supervisor ends prematurely because the server was
/// dropped.
struct FinishOnDrop(Arc<PeerCore>);

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        // A session that was live is fenced by now, and its reason is set.
        if *self.0.state.borrow() != ServerState::Stopped {
            self.0.finish(Err(not_revoked()));
        }
    }
}

/// The routes on which requests reach a peer, over all its sessions.
pub(super) struct PeerRoutes {
    pub(super) process: ProcessServer,
    pub(super) deadlines: CallDeadlines,
}

impl PeerRoutes {
    async fn shutdown(self) {
        self.process.shutdown(ANSWER_BOUND).await;
        self.deadlines.end().await;
    }
}

/// Runs the server from its first session to its shutdown. `joined` receives the outcome of the
/// first join.
pub(super) async fn supervise(
    core: Arc<PeerCore>,
    routes: PeerRoutes,
    joined: oneshot::Sender<Result<(), ServerError>>,
) {
    let _finish = FinishOnDrop(core.clone());
    let mut join = pin!(first_join(&core));
    let first = tokio::select! {
        biased;
        () = core.shutdown.cancelled() => {
            // Nobody waits for the server any more: its port is free at once, and its registrations
            // are deleted as soon as the registry answers.
            let withdrawn = async {
                match join.await {
                    Ok(session) => withdraw(&core, session).await,
                    Err(_) => Ok(()),
                }
            };
            let (withdrawn, ()) = tokio::join!(withdrawn, routes.shutdown());
            return core.finish(withdrawn);
        }
        first = &mut join => first,
    };
    match first {
        Ok(session) => {
            let _ = joined.send(Ok(()));
            serve_sessions(&core, session, routes).await;
        }
        Err(error) => {
            routes.shutdown().await;
            core.finish(Ok(()));
            let _ = joined.send(Err(error));
        }
    }
}

/// Joins for the first time. Ends soon after a shutdown is requested.
async fn first_join(core: &PeerCore) -> Result<Session, ServerError> {
    let PeerCore {
        config,
        registry,
        identity,
        shutdown,
        ..
    } = core;
    let (environment, terms) = (&config.environment, core.terms());
    let registry = registry.pinned();
    let joined = Session::join(environment, &registry, identity, &terms, false, shutdown).await;
    joined.map_err(|error| match error {
        JoinError::Registry(error) => ServerError::registry(error),
        JoinError::AddressInUse { holder, left } => {
            let holder = AddressHolder {
                token: Token::new(registry.cluster(), holder.created),
                lease: holder.lease.map(|lease| lease.0),
                time_left: holder.lease.and(left),
                key: holder.key,
            };
            ServerError::address_in_use(&identity.address, holder)
        }
        JoinError::GivenUp => ServerError::aborted(),
    })
}

/// Deletes the registrations of an unwanted first session. Takes at most one time to live: by then
/// they have expired.
async fn withdraw(core: &PeerCore, session: Session) -> Result<(), ShutdownError> {
    let PeerConfig {
        environment,
        lease_ttl,
        ..
    } = &core.config;
    let revoked = environment.timeout(*lease_ttl, session.revoke()).await;
    revoked.ok_or_else(not_revoked)
}

/// Serves under one session after another, until the shutdown.
async fn serve_sessions(core: &Arc<PeerCore>, first: Session, routes: PeerRoutes) {
    let mut session = Some(first);
    let mut left = Ok(());
    while let Some(current) = session.take() {
        match serve(core, current).await {
            LifeEnd::Shutdown(result) => {
                routes.shutdown().await;
                core.finish(result);
                return;
            }
            LifeEnd::Fenced => {}
        }
        if core.shutdown.is_cancelled() {
            break;
        }
        let given_up = CancellationToken::new();
        let join = rejoin(core, &given_up);
        tokio::pin!(join);
        tokio::select! {
            biased;
            () = core.shutdown.cancelled() => {
                core.set_state(ServerState::Draining);
                given_up.cancel();
                left = withdraw_rejoin(core, join).await;
            }
            end = &mut join => if let RejoinEnd::Joined(joined) = end {
                session = Some(*joined);
            }
        }
    }
    core.set_state(ServerState::Draining);
    routes.shutdown().await;
    core.finish(left);
}

/// How a rejoin ended.
enum RejoinEnd {
    Joined(Box<Session>),
    GivenUp {
        /// Whether no attempt has left keys behind.
        is_settled: bool,
    },
}

/// Joins again, however long it takes, until the rejoin is abandoned; the attempt under way is then
/// carried to its end. An attempt in a registry that was left is not: it might be retried there
/// forever.
async fn rejoin(core: &PeerCore, given_up: &CancellationToken) -> RejoinEnd {
    let (environment, terms) = (&core.config.environment, core.terms());
    let mut is_settled = true;
    while !given_up.is_cancelled() {
        let registry = core.registry.pinned();
        let join = Session::join(
            environment,
            &registry,
            &core.identity,
            &terms,
            true,
            given_up,
        );
        // A panic is a defect of ours. Whatever it leaves registered expires with its lease.
        let join = AssertUnwindSafe(join).catch_unwind();
        let joined = tokio::select! {
            biased;
            () = core.registry.left(&registry) => continue,
            joined = join => joined,
        };
        match joined {
            Ok(Ok(session)) => return RejoinEnd::Joined(Box::new(session)),
            Ok(Err(JoinError::GivenUp)) => {}
            Ok(Err(JoinError::Registry(error))) if error.is_other_registry() => {
                if *core.state.borrow() != ServerState::Detached {
                    core.set_detached();
                    tracing::error!(%error, "the peer stays out: its registry was replaced");
                }
            }
            Ok(Err(error)) => tracing::error!(?error, "rejoining the grid failed, retrying"),
            Err(_) => {
                is_settled = false;
                tracing::error!("rejoining the grid panicked, retrying");
            }
        }
        tokio::select! {
            biased;
            () = given_up.cancelled() => {}
            () = core.registry.left(&registry) => {}
            () = environment.sleep(REJOIN_PAUSE) => {}
        }
    }
    RejoinEnd::GivenUp { is_settled }
}

/// Ends a rejoin that a shutdown interrupted and abandoned: everything that it has registered by
/// then is deleted. The earlier sessions have left nothing behind.
async fn withdraw_rejoin(
    core: &PeerCore,
    rejoin: impl Future<Output = RejoinEnd>,
) -> Result<(), ShutdownError> {
    let withdrawn = async {
        match rejoin.await {
            RejoinEnd::Joined(session) => {
                session.revoke().await;
                Ok(())
            }
            RejoinEnd::GivenUp { is_settled: true } => Ok(()),
            RejoinEnd::GivenUp { is_settled: false } => Err(not_revoked()),
        }
    };
    let environment = &core.config.environment;
    let withdrawn = environment.timeout(REVOKE_BOUND, withdrawn).await;
    withdrawn.unwrap_or_else(|| Err(not_revoked()))
}

fn not_revoked() -> ShutdownError {
    ShutdownError {
        stuck: Vec::new(),
        not_revoked: true,
    }
}
