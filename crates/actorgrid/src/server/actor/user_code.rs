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
use crate::session::Fence;

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
    pub(super) fence: &'a Fence,
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
        if self.stop.is_asked() || !self.fence.admits() {
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
