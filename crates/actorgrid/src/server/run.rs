//! The task of one actor: constructor, `act`, and what follows.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::ActorContext;
use super::actor_type::ActorType;
use super::actors::Running;
use super::life::Life;
use crate::environment::Environment;
use crate::error::{BoxError, Executed, RequestError, RequestErrorKind};
use crate::mailbox::Stop;
use crate::message::ActorStart;
use crate::session::{Fence, HeldClaim};

/// An actor whose name is registered.
pub(super) struct Registered {
    pub(super) life: Arc<Life>,
    pub(super) running: Arc<Running>,
    /// Dropped, it releases the names; they stay reserved until the registry has confirmed it.
    pub(super) held: HeldClaim,
    pub(super) actor_type: ActorType,
    pub(super) start: ActorStart,
    pub(super) ctx: ActorContext,
    /// The life waits for the actor as long as it is there.
    pub(super) tracked: TaskTrackerToken,
}

impl Registered {
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
        let guard = Guard {
            environment: life.environment(),
            stop: &stop,
            fence: &fence,
        };

        let counters = life.counters();
        let mut failed = None;
        match guard.run(|| actor_type.construct(start)).await {
            Ended::Done(Ok(actor)) => {
                counters.actors_started.increment();
                let _ = started.send(Ok(()));
                // Whoever waits for the start may be next on this very worker, where nobody could
                // take it over from an actor that never awaits.
                tokio::task::yield_now().await;
                let acting = ctx.clone();
                match guard.run(|| actor.run(acting)).await {
                    Ended::Done(Ok(())) => tracing::debug!(actor = %name, "actor ended"),
                    Ended::Done(Err(error)) => tracing::warn!(actor = %name, error, "actor failed"),
                    Ended::Panicked(text) => {
                        counters.actor_panics.increment();
                        tracing::error!(actor = %name, panic = text, "actor panicked");
                    }
                    Ended::NotRun => {
                        tracing::debug!(actor = %name, "actor was stopped before it began")
                    }
                    Ended::Aborted => tracing::warn!(actor = %name, "actor aborted"),
                }
            }
            Ended::Done(Err(error)) => {
                tracing::warn!(actor = %name, error, "constructor failed");
                failed = Some((started, error));
            }
            Ended::Panicked(text) => {
                counters.actor_panics.increment();
                tracing::error!(actor = %name, panic = text, "constructor panicked");
                failed = Some((started, format!("the constructor panicked: {text}")));
            }
            Ended::NotRun | Ended::Aborted => {
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

/// How guarded code ended.
enum Ended<T> {
    /// It did not begin: the actor was to stop already.
    NotRun,
    Done(Result<T, String>),
    Panicked(String),
    Aborted,
}

/// What bounds the code of an actor.
struct Guard<'a> {
    environment: &'a Environment,
    stop: &'a Stop,
    fence: &'a Fence,
}

impl Guard<'_> {
    /// Runs user code, unless the actor is to stop already. Panics are caught, those of drops too.
    async fn run<T>(
        &self,
        make: impl FnOnce() -> BoxFuture<'static, Result<T, BoxError>>,
    ) -> Ended<T> {
        if self.stop.is_asked() || !self.fence.admits() {
            return Ended::NotRun;
        }
        let mut code = match std::panic::catch_unwind(AssertUnwindSafe(make)) {
            Ok(code) => code,
            Err(panic) => return Ended::Panicked(text_of(&*panic)),
        };
        let told = async { (&mut code).await.map_err(|error| error.to_string()) };
        let ended = tokio::select! {
            biased;
            () = self.aborted() => Ended::Aborted,
            result = AssertUnwindSafe(told).catch_unwind() => match result {
                Ok(result) => Ended::Done(result),
                Err(panic) => Ended::Panicked(text_of(&*panic)),
            },
        };
        match std::panic::catch_unwind(AssertUnwindSafe(|| drop(code))) {
            Ok(()) => ended,
            Err(panic) => Ended::Panicked(text_of(&*panic)),
        }
    }

    /// Ends when the code must not go on.
    async fn aborted(&self) {
        let overdue = async {
            self.stop.asked().cancelled().await;
            if let Some((_, until)) = self.stop.order() {
                self.environment.sleep_until(until).await;
            }
        };
        tokio::select! {
            () = self.fence.aborted().cancelled() => {}
            () = overdue => {}
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".to_owned())
}
