//! Runs the code of an actor: limits its time and catches its panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;

use crate::environment::{Environment, Timestamp};
use crate::error::BoxError;
use crate::mailbox::Stop;
use crate::server::events::ActorEnd;

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
        let outcome = async { (&mut code).await.map_err(|error| error.to_string()) };
        let ended = tokio::select! {
            biased;
            () = self.aborted() => Err(CodeFailure::Aborted),
            result = AssertUnwindSafe(outcome).catch_unwind() => match result {
                Ok(result) => result.map_err(CodeFailure::Failed),
                Err(panic) => Err(CodeFailure::panicked(panic)),
            },
            limit = self.timed_out(limit) => Err(CodeFailure::TimedOut(limit)),
        };
        match drop_caught(code) {
            Ok(()) => ended,
            Err(failure) => {
                // A constructed actor is discarded: one panic is enough to report.
                let _ = drop_caught(ended);
                Err(failure)
            }
        }
    }

    /// Waits until the time of the code has passed, and returns the limit. Waits forever without a
    /// limit.
    async fn timed_out(&self, limit: Option<(Duration, Timestamp)>) -> Duration {
        match limit {
            Some((limit, until)) => {
                self.environment.sleep_until(until).await;
                limit
            }
            None => std::future::pending().await,
        }
    }

    /// Waits until the code must be aborted.
    async fn aborted(&self) {
        let (stop, fence) = (self.stop, self.stop.fence());
        // Joins once, so that each poll of the code only reads.
        let mut place = stop.join();
        let either = || fence.is_aborted() || stop.is_asked();
        place.until(either).await;
        let Some((_, until)) = stop.order() else {
            return;
        };
        tokio::select! {
            biased;
            () = place.until(|| fence.is_aborted()) => {}
            () = self.environment.sleep_until(until) => {}
        }
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
