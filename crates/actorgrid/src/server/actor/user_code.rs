//! Runs the code of an actor: bounds its time, and catches its panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;

use crate::environment::Environment;
use crate::error::BoxError;
use crate::mailbox::Stop;
use crate::session::Fence;

/// How guarded code ended.
pub(super) enum CodeEnd<T> {
    /// It did not begin: the actor was to stop already.
    NotRun,
    Done(Result<T, String>),
    Panicked(String),
    Aborted,
}

/// What bounds the code of one actor.
pub(super) struct UserCode<'a> {
    pub(super) environment: &'a Environment,
    pub(super) stop: &'a Stop,
    pub(super) fence: &'a Fence,
}

impl UserCode<'_> {
    /// Runs user code, unless the actor is to stop already. Panics are caught, those of drops too.
    pub(super) async fn run<T>(
        &self,
        make: impl FnOnce() -> BoxFuture<'static, Result<T, BoxError>>,
    ) -> CodeEnd<T> {
        if self.stop.is_asked() || !self.fence.admits() {
            return CodeEnd::NotRun;
        }
        let mut code = match std::panic::catch_unwind(AssertUnwindSafe(make)) {
            Ok(code) => code,
            Err(panic) => return CodeEnd::Panicked(text_of(&*panic)),
        };
        let outcome = async { (&mut code).await.map_err(|error| error.to_string()) };
        let ended = tokio::select! {
            biased;
            () = self.aborted() => CodeEnd::Aborted,
            result = AssertUnwindSafe(outcome).catch_unwind() => match result {
                Ok(result) => CodeEnd::Done(result),
                Err(panic) => CodeEnd::Panicked(text_of(&*panic)),
            },
        };
        match std::panic::catch_unwind(AssertUnwindSafe(|| drop(code))) {
            Ok(()) => ended,
            Err(panic) => CodeEnd::Panicked(text_of(&*panic)),
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
