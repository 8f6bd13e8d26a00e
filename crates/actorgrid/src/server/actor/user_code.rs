//! Runs the code of an actor: limits its time and catches its panics.

use std::any::Any;
use std::future::{Future as _, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::time::Sleep;

use crate::environment::{Environment, Timestamp};
use crate::error::BoxError;
use crate::mailbox::Stop;
use crate::server::events::ActorEnd;
use crate::wake_list::WakePlace;

/// The reason that the code of an actor did not return a value.
pub(super) enum CodeFailure {
    /// The code did not begin: the actor had already been asked to stop.
    NotRun,
    /// The code returned an error with this text.
    Failed(String),
    Panicked(String),
    Aborted,
    /// The code did not end within this time, and was dropped.
    TimedOut(Duration),
}

impl CodeFailure {
    fn panicked(panic: Box<dyn Any + Send>) -> Self {
        let failure = Self::Panicked(panic_text(&*panic));
        // The panic's payload is also the user's, and may panic when it is dropped.
        if let Err(again) = std::panic::catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
        failure
    }

    /// Returns the end that an event reports.
    pub(super) fn end(&self) -> ActorEnd {
        match self {
            Self::NotRun => ActorEnd::NotRun,
            Self::Failed(text) => ActorEnd::failed(text),
            Self::Panicked(text) => ActorEnd::panicked(text),
            Self::Aborted => ActorEnd::Aborted,
            Self::TimedOut(_) => ActorEnd::TimedOut,
        }
    }
}

/// Runs the code of one actor within its limits.
pub(super) struct UserCode<'a> {
    pub(super) environment: &'a Environment,
    pub(super) stop: &'a Stop,
}

impl UserCode<'_> {
    /// Runs user code, unless the actor has already been asked to stop. Panics are caught,
    /// including those of drops. With a limit, the code is dropped at the first await after that
    /// time. The time begins with the call of `make`, so code that blocks before its first await
    /// uses up its time as well.
    pub(super) async fn run<T>(
        &self,
        limit: Option<Duration>,
        make: impl FnOnce() -> BoxFuture<'static, Result<T, BoxError>>,
    ) -> Result<T, CodeFailure> {
        if self.stop.is_asked() || !self.stop.fence().admits() {
            // `make` owns the actor.
            return Err(drop_caught(make).err().unwrap_or(CodeFailure::NotRun));
        }
        let limit = limit.map(|limit| (limit, self.environment.now() + limit));
        let mut code = caught(make)?;
        let mut bounds = CodeBounds::new(self, limit);
        let ended = poll_fn(|cx| {
            if bounds.poll_abort(self, cx).is_ready() {
                return Poll::Ready(Err(CodeFailure::Aborted));
            }
            let polled = caught(|| {
                let polled = code.as_mut().poll(cx);
                polled.map_err(|error| CodeFailure::Failed(error.to_string()))
            });
            match polled {
                Ok(Poll::Ready(ended)) => Poll::Ready(ended),
                Ok(Poll::Pending) => bounds.poll_limit(self, cx).map(Err),
                Err(failure) => Poll::Ready(Err(failure)),
            }
        });
        let ended = ended.await;
        match drop_caught(code) {
            Ok(()) => ended,
            Err(failure) => {
                // A constructed actor is discarded: one panic is enough to report.
                let _ = drop_caught(ended);
                Err(failure)
            }
        }
    }
}

/// The bounds of code while it runs. Timers are boxed, as most code ends without one, and actors
/// are many.
struct CodeBounds {
    place: WakePlace,
    /// The time of the code, if that is limited, and its end.
    limit: Option<(Duration, Timestamp)>,
    limit_timer: Option<Pin<Box<Sleep>>>,
    /// When the code is aborted, once it was asked to stop.
    abort: Option<Pin<Box<Sleep>>>,
}

impl CodeBounds {
    /// Joins once, so that each poll of the code only reads.
    fn new(code: &UserCode<'_>, limit: Option<(Duration, Timestamp)>) -> Self {
        let timer = |(_, until)| Box::pin(code.environment.sleep_until(until));
        Self {
            place: code.stop.join(),
            limit,
            limit_timer: limit.map(timer),
            abort: None,
        }
    }

    /// Ready when the code must be aborted.
    fn poll_abort(&mut self, code: &UserCode<'_>, cx: &mut Context<'_>) -> Poll<()> {
        self.place.register(cx);
        if code.stop.fence().is_aborted() {
            return Poll::Ready(());
        }
        let Some((_, until)) = code.stop.order() else {
            return Poll::Pending;
        };
        let timer = || Box::pin(code.environment.sleep_until(until));
        self.abort.get_or_insert_with(timer).as_mut().poll(cx)
    }

    /// Ready when the time of the code has passed.
    fn poll_limit(&mut self, code: &UserCode<'_>, cx: &mut Context<'_>) -> Poll<CodeFailure> {
        let (Some((limit, until)), Some(timer)) = (self.limit, &mut self.limit_timer) else {
            return Poll::Pending;
        };
        // A timer is never ready after code that has used up what its task may do in a turn.
        if timer.as_mut().poll(cx).is_pending() && code.environment.now() < until {
            return Poll::Pending;
        }
        Poll::Ready(CodeFailure::TimedOut(limit))
    }
}

/// Calls user code that does not wait, and catches its panic.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, CodeFailure> {
    std::panic::catch_unwind(AssertUnwindSafe(call)).map_err(CodeFailure::panicked)
}

/// Drops a value of user code, and catches its panic.
fn drop_caught<T>(value: T) -> Result<(), CodeFailure> {
    caught(|| drop(value))
}

/// Returns the text of a panic.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not a text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::*;
    use crate::environment::Simulation;
    use crate::mailbox::StopReason;
    use crate::session::{Fence, FenceReason};

    const LONG: Duration = Duration::from_secs(60);

    /// Returns code that never ends and always wakes itself. Each poll calls `each` with the number
    /// of polls so far.
    fn restless(
        polls: &Arc<AtomicUsize>,
        mut each: impl FnMut(usize) + Send + 'static,
    ) -> BoxFuture<'static, Result<(), BoxError>> {
        let polls = polls.clone();
        Box::pin(std::future::poll_fn(move |cx| {
            each(polls.fetch_add(1, Ordering::SeqCst) + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn polls_take_no_lock_that_actors_share_and_none_follows_an_abort() {
        let environment = Simulation::new(1).environment();
        let until = environment.now() + LONG;
        let fence = Arc::new(Fence::new(environment.clone(), until, until));
        let stop = Stop::new(&fence);
        let code = UserCode {
            environment: &environment,
            stop: &stop,
        };
        let (polls, watched) = (Arc::default(), fence.clone());
        let mut locked = 0;
        let restless = restless(&polls, move |poll| {
            match poll {
                // Each of these two calls wakes all waiters, under the lock.
                500 => watched.trip(FenceReason::KeyLost),
                1_000 => watched.abort(),
                // The code joined in its first poll.
                1 | 501 => locked = watched.locked(),
                _ => assert_eq!(watched.locked(), locked, "with poll {poll}"),
            }
        });
        let ended = code.run(None, || restless).await;
        assert!(matches!(ended, Err(CodeFailure::Aborted)));
        assert_eq!(polls.load(Ordering::SeqCst), 1_000);
    }

    #[tokio::test]
    async fn code_that_uses_up_each_turn_of_its_task_ends_with_its_time() {
        let environment = Environment::real();
        let until = environment.now() + LONG;
        let fence = Arc::new(Fence::new(environment.clone(), until, until));
        let stop = Stop::new(&fence);
        let code = UserCode {
            environment: &environment,
            stop: &stop,
        };
        let busy = || -> BoxFuture<'static, Result<(), BoxError>> {
            Box::pin(async {
                loop {
                    tokio::task::consume_budget().await;
                }
            })
        };
        let ended = code.run(Some(Duration::from_millis(10)), busy).await;
        assert!(matches!(ended, Err(CodeFailure::TimedOut(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn code_that_waits_is_aborted_when_its_time_is_over_or_its_peer_is_fenced() {
        for fenced in [false, true] {
            let environment = Simulation::new(1).environment();
            let begun = environment.now();
            let until = begun + LONG;
            let fence = Arc::new(Fence::new(environment.clone(), until, until));
            let stop = Stop::new(&fence);
            let code = UserCode {
                environment: &environment,
                stop: &stop,
            };
            let second = Duration::from_secs(1);
            let waits =
                || -> BoxFuture<'static, Result<(), BoxError>> { Box::pin(std::future::pending()) };
            let (ended, ()) = tokio::join!(code.run(None, waits), async {
                environment.sleep(second).await;
                stop.ask(StopReason::Asked, begun + 4 * second);
                environment.sleep(second).await;
                if fenced {
                    fence.abort();
                }
            });
            assert!(matches!(ended, Err(CodeFailure::Aborted)));
            let took = environment.now().since(begun);
            let expected = if fenced { 2 * second } else { 4 * second };
            assert!(took >= expected && took < expected + second / 10);
        }
    }
}
