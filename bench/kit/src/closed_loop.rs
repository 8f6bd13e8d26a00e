//! Keeps a number of requests in flight.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::caller::{BoxError, Caller, echoed};
use crate::tally::{CallerTally, Tally};
use crate::window::Window;

/// A caller gives up after so many failures in a row: its connection is gone, and to try on would
/// only measure how fast that is reported.
const MAX_FAILURES_IN_A_ROW: usize = 10;

/// Keeps `in_flight` requests of `bytes` bytes in flight until the window ends, each sent by a task
/// of its own as soon as its last one is answered.
pub async fn closed_loop<C: Caller>(
    caller: &C,
    window: Window,
    in_flight: usize,
    bytes: usize,
) -> Tally {
    let all = Arc::new(Mutex::new(Tally::default()));
    let message = Arc::new(caller.message(bytes));
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (caller, message) = (caller.clone(), Arc::clone(&message));
        let mut tally = CallerTally::of(&all);
        callers.spawn(async move {
            let calls = call_until_end(&caller, &message, echoed(bytes), window, &mut tally);
            if tokio::time::timeout_at(window.cut_off().into(), calls)
                .await
                .is_err()
            {
                tally.failed(&"unanswered".into());
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        if let Err(error) = ended {
            lock(&all).failed(&error);
        }
    }
    lock(&all).clone()
}

fn lock(all: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn call_until_end<C: Caller>(
    caller: &C,
    message: &C::Message,
    expected: usize,
    window: Window,
    tally: &mut CallerTally,
) {
    let mut failures = 0;
    let mut sent = Instant::now();
    while sent < window.end && failures < MAX_FAILURES_IN_A_ROW {
        match checked_call(caller, message, expected).await {
            Ok(()) => {
                failures = 0;
                let answered = Instant::now();
                if window.contains(answered) {
                    tally.answered(answered - sent);
                }
                sent = answered;
            }
            Err(error) => {
                failures += 1;
                tally.failed(&error);
                sent = Instant::now();
            }
        }
    }
}

/// A call whose answer must have the length of an echo.
pub(crate) async fn checked_call<C: Caller>(
    caller: &C,
    message: &C::Message,
    expected: usize,
) -> Result<(), BoxError> {
    let length = caller.call(message).await?;
    if length == expected {
        Ok(())
    } else {
        Err(format!("an answer of {length} bytes, not {expected}").into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Fails each third call, and answers the others with their length.
    #[derive(Clone, Default)]
    struct Sometimes(Arc<AtomicUsize>);

    impl Caller for Sometimes {
        type Message = usize;

        fn message(&self, bytes: usize) -> usize {
            bytes
        }

        async fn call(&self, message: &usize) -> Result<usize, BoxError> {
            tokio::task::yield_now().await;
            match self.0.fetch_add(1, Ordering::Relaxed) % 3 {
                2 => Err("the third".into()),
                _ => Ok(*message),
            }
        }
    }

    #[tokio::test]
    async fn answers_and_failures_are_counted() {
        let window = Window::after(0.0, 0.05);
        let caller = Sometimes::default();
        let tally = closed_loop(&caller, window, 4, 70).await;
        let calls = caller.0.load(Ordering::Relaxed) as u64;
        assert_eq!(tally.errors(), calls / 3);
        assert_eq!(tally.first_error(), Some("the third"));
        // Those that were answered after the end do not count.
        let late = calls - tally.errors() - tally.latencies().total();
        assert!(late <= 4, "{late}");
    }

    #[derive(Clone)]
    struct Mute;

    impl Caller for Mute {
        type Message = ();

        fn message(&self, _bytes: usize) {}

        async fn call(&self, _message: &()) -> Result<usize, BoxError> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_answered_has_failed() {
        let tally = closed_loop(&Mute, Window::after(0.0, 1.0), 3, 70).await;
        assert_eq!(tally.errors(), 3);
        assert_eq!(tally.first_error(), Some("unanswered"));
    }
}
