//! The task of one actor: its constructor, its `act`, and the cleanup.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::actor_table::RunningActor;
use super::actor_type::ActorType;
use super::context::ActorContext;
use super::report::ActorReport;
use super::start_budget::StartPermit;
use super::user_code::{CodeFailure, UserCode};
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::ActorStart;
use crate::server::life::{ABORT_GRACE, Life};
use crate::session::HeldClaim;

/// Where the outcome of a start goes.
type StartAnswer = oneshot::Sender<Result<(), RequestError>>;

/// An actor whose name is registered.
pub(super) struct RegisteredActor {
    pub(super) life: Arc<Life>,
    pub(super) running: Arc<RunningActor>,
    /// Dropping this releases the names; they stay reserved until the registry has confirmed the
    /// release.
    pub(super) held: HeldClaim,
    pub(super) actor_type: ActorType,
    pub(super) start: ActorStart,
    pub(super) ctx: ActorContext,
    /// While this exists, the end of the life waits for the actor.
    pub(super) tracked: TaskTrackerToken,
    /// The start counts as under way until the actor is constructed, or its name is free again.
    pub(super) permit: Arc<StartPermit>,
}

impl RegisteredActor {
    /// Runs the actor to its end. `started` receives the outcome of the start; if that is a
    /// failure, the actor's name is still being released.
    ///
    /// If user code panics, only this actor ends.
    pub(super) fn run(self, started: StartAnswer) -> impl Future<Output = ()> + Send {
        let Self {
            life,
            running,
            held,
            actor_type,
            start,
            ctx,
            tracked,
            permit,
        } = self;
        // The task is as large as its largest part, for as long as the actor runs. So whatever only
        // its start and its end need is boxed, and this is no async function: those keep their
        // arguments twice.
        let construct = Box::new(move || actor_type.construct(start));
        async move {
            let code = UserCode {
                environment: life.environment(),
                stop: &running.stop,
            };
            let report = ActorReport::new(&life, &ctx, held.revision());
            let limit = Some(life.constructor_timeout());
            let constructed = Box::pin(code.run(limit, construct)).await;
            let outcome = match constructed {
                Ok(actor) => {
                    permit.give_back();
                    report.started();
                    let _ = started.send(Ok(()));
                    // The caller of the start may be next in the queue of this worker, and no other
                    // worker could take it over from an actor that never awaits.
                    tokio::task::yield_now().await;
                    let acting = ctx.clone();
                    let result = code.run(None, || actor.run(acting)).await;
                    report.acted(&result);
                    Ok(result)
                }
                Err(failure) => {
                    report.not_constructed(&failure);
                    Err((started, failure))
                }
            };
            running.stop.end();
            Box::pin(end_tasks(&life, &ctx)).await;
            running.gone.store(true, Ordering::Release);
            match &outcome {
                Ok(result) => report.ended(result),
                Err((_, failure)) => report.start_failed(failure),
            }
            // Before the name is freed, so that the start no longer counts when it is answered.
            drop(permit);
            drop(held);
            drop(tracked);
            if let Err((started, failure)) = outcome {
                let _ = started.send(Err(start_failed(failure)));
            }
        }
    }
}

fn start_failed(failure: CodeFailure) -> RequestError {
    let text = match failure {
        CodeFailure::Failed(text) => text,
        CodeFailure::Panicked(text) => format!("the constructor panicked: {text}"),
        CodeFailure::TimedOut(limit) => format!(
            "the constructor did not end within {limit:?} (constructor_timeout of the peer)"
        ),
        CodeFailure::NotRun | CodeFailure::Aborted => {
            "the actor was asked to stop before it was constructed, or its peer is stopping"
                .to_owned()
        }
    };
    RequestError::new(RequestErrorKind::StartFailed, Executed::Maybe, text)
}

/// Ends everything that belongs to the actor, however long it takes, and reports a task that does
/// not end.
async fn end_tasks(life: &Life, ctx: &ActorContext) {
    let mut end = pin!(ctx.end());
    let ended = life.environment().timeout(ABORT_GRACE, &mut end).await;
    if ended.is_none() {
        life.report_stuck();
        end.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, F: Future>(_: impl FnOnce(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// Actors are many. See "An idle actor" in ARCHITECTURE.md.
    #[test]
    fn the_task_of_an_actor_is_small() {
        let bytes = size_of_future(RegisteredActor::run);
        assert!(bytes <= 416, "{bytes}");
    }
}
