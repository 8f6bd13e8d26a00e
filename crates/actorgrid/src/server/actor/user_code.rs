//! Runs the code of an actor: bounds its time, and catches its panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;

use crate::environment::{Environment, Timestamp};
use crate::error::BoxError;
use crate::mailbox::Stop;
use crate::server::events::ActorEnd;

/// Why the code of an actor did not return a value.
pub(super) enum CodeFailure {
    /// It did not begin: the actor was to stop already.
    NotRun,
    /// It returned an error with this text.
    Failed(String),
    Panicked(String),
    Aborted,
    /// It did not end within this time, and was dropped.
    TimedOut(Duration),
}

impl CodeFailure {
    fn panicked(panic: Box<dyn Any + Send>) -> Self {
        let failure = Self::Panicked(panic_text(&*panic));
        // What it panicked with is user code's too, and may panic when it is dropped.
        if let Err(again) = std::panic::catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
        failure
    }

    /// As an event reports it.
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

/// Bounds the code of one actor.
pub(super) struct UserCode<'a> {
    pub(super) environment: &'a Environment,
    pub(super) stop: &'a Stop,
}

impl UserCode<'_> {
    /// Runs user code, unless the actor is to stop already. Panics are caught, those of drops too.
    /// With a limit, the code is dropped at the first await after that time, which begins with the
    /// call of `make`: code that blocks before its first await uses up its time as well.
    pub(super) async fn run<T>(
        &self,
        limit: Option<Duration>,
        make: impl FnOnce() -> BoxFuture<'static, Result<T, BoxError>>,
    ) -> Result<T, CodeFailure> {
        if self.stop.is_asked() || !self.stop.fence().admits() {
            // It owns the actor.
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
                // An actor that was constructed is not used: one panic is enough to report.
                let _ = drop_caught(ended);
                Err(failure)
            }
        }
    }

    /// Ends when the time of the code has passed, if it is limited, and returns the limit.
    async fn timed_out(&self, limit: Option<(Duration, Timestamp)>) -> Duration {
        match limit {
            Some((limit, until)) => {
                self.environment.sleep_until(until).await;
                limit
            }
            None => std::future::pending().await,
        }
    }

    /// Ends when the code must not go on.
    async fn aborted(&self) {
        let (stop, fence) = (self.stop, self.stop.fence());
        // Joined once: each poll of the code only reads.
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

/// Calls user code that does not wait.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, CodeFailure> {
    std::panic::catch_unwind(AssertUnwindSafe(call)).map_err(CodeFailure::panicked)
}

/// Drops what belongs to user code, which may panic there.
fn drop_caught<T>(value: T) -> Result<(), CodeFailure> {
    caught(|| drop(value))
}

/// The text of a panic.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".to_owned())
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

    /// Code that never ends and always goes on; with each poll it calls this with their number.
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
                // With each of the two, all who wait are woken, under the lock.
                500 => watched.trip(FenceReason::KeyLost),
                1_000 => watched.abort(),
                // The code has joined with its first poll.
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
