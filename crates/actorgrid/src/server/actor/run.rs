//! The task of one actor: constructor, `act`, and what follows.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::actor_table::RunningActor;
use super::actor_type::ActorType;
use super::context::ActorContext;
use super::user_code::{CodeEnd, UserCode};
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::ActorStart;
use crate::server::life::Life;
use crate::session::HeldClaim;

/// An actor whose name is registered.
pub(super) struct RegisteredActor {
    pub(super) life: Arc<Life>,
    pub(super) running: Arc<RunningActor>,
    /// Dropped, it releases the names; they stay reserved until the registry has confirmed it.
    pub(super) held: HeldClaim,
    pub(super) actor_type: ActorType,
    pub(super) start: ActorStart,
    pub(super) ctx: ActorContext,
    /// The life waits for the actor as long as it is there.
    pub(super) tracked: TaskTrackerToken,
}

impl RegisteredActor {
    /// Runs the actor to its end. `started` learns whether it came to act.
    ///
    /// User code may panic here; it ends the actor alone.
    pub(super) async fn run(self, started: oneshot::Sender<Result<(), RequestError>>) {
        let Self {
            life,
            running,
            held,
            actor_type,
            start,
            ctx,
            tracked,
        } = self;
        let fence = life.names().fence().clone();
        let stop = running.stop.clone();
        let name = running.name.clone();
        let code = UserCode {
            environment: life.environment(),
            stop: &stop,
            fence: &fence,
        };

        let counters = life.counters();
        let mut failed = None;
        match code.run(|| actor_type.construct(start)).await {
            CodeEnd::Done(Ok(actor)) => {
                counters.actors_started.increment();
                let _ = started.send(Ok(()));
                // Whoever waits for the start may be next on this very worker, where nobody could
                // take it over from an actor that never awaits.
                tokio::task::yield_now().await;
                let acting = ctx.clone();
                match code.run(|| actor.run(acting)).await {
                    CodeEnd::Done(Ok(())) => tracing::debug!(actor = %name, "actor ended"),
                    CodeEnd::Done(Err(error)) => {
                        tracing::warn!(actor = %name, error, "actor failed")
                    }
                    CodeEnd::Panicked(text) => {
                        counters.actor_panics.increment();
                        tracing::error!(actor = %name, panic = text, "actor panicked");
                    }
                    CodeEnd::NotRun => {
                        tracing::debug!(actor = %name, "actor was stopped before it began")
                    }
                    CodeEnd::Aborted => tracing::warn!(actor = %name, "actor aborted"),
                }
            }
            CodeEnd::Done(Err(error)) => {
                tracing::warn!(actor = %name, error, "constructor failed");
                failed = Some((started, error));
            }
            CodeEnd::Panicked(text) => {
                counters.actor_panics.increment();
                tracing::error!(actor = %name, panic = text, "constructor panicked");
                failed = Some((started, format!("the constructor panicked: {text}")));
            }
            CodeEnd::NotRun | CodeEnd::Aborted => {
                failed = Some((started, "the peer is stopping".to_owned()));
            }
        }

        stop.end();
        ctx.end().await;
        match &failed {
            Some(_) => counters.starts_failed.increment(),
            None => counters.actors_ended.increment(),
        }
        drop(held);
        drop(tracked);
        if let Some((started, text)) = failed {
            // The name may still be on its way out of the registry: who starts it again at once
            // and meets it there is told that it is taken.
            let error = RequestError::new(RequestErrorKind::StartFailed, Executed::Maybe, text);
            let _ = started.send(Err(error));
        }
    }
}
