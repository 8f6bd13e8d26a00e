//! Sends at a rate, and counts latencies from the time at which each request was to be sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::caller::{Caller, echoed};
use crate::closed_loop::checked_call;
use crate::schedule::Schedule;
use crate::tally::Tally;
use crate::window::Window;

/// With so many unanswered the rate is far above the contender's. Requests that are due beyond them
/// fail at once, so that the memory of the run is bounded.
const MAX_UNANSWERED: usize = 1 << 16;

/// Sends `per_second` requests of `bytes` bytes a second until the window ends.
///
/// A request that is sent late, because the machine or the contender was busy, waits from the time
/// at which it was due: otherwise a contender that stalls would hide how long it did.
pub async fn open_loop<C: Caller>(
    caller: &C,
    window: Window,
    per_second: f64,
    bytes: usize,
) -> Tally {
    let sending = Arc::new(Sending {
        caller: caller.clone(),
        message: caller.message(bytes),
        expected: echoed(bytes),
        window,
        tally: Mutex::default(),
        unanswered: AtomicUsize::new(0),
        answered: Notify::new(),
    });
    let paced = {
        let sending = Arc::clone(&sending);
        let runtime = Handle::current();
        // A thread, as tokio's timers are a millisecond apart. It sleeps between the requests.
        tokio::task::spawn_blocking(move || sending.pace(&runtime, per_second))
    };
    if let Err(error) = paced.await {
        sending.count(|tally| tally.failed(&error));
    }
    let all_answered = sending.wait_for_answers();
    let in_time = tokio::time::timeout_at(window.cut_off().into(), all_answered).await;
    if in_time.is_err() {
        for _ in 0..sending.unanswered.load(Ordering::Relaxed) {
            sending.count(|tally| tally.failed(&"unanswered"));
        }
    }
    let mut result = Tally::default();
    sending.count(|tally| std::mem::swap(tally, &mut result));
    result
}

struct Sending<C: Caller> {
    caller: C,
    message: C::Message,
    expected: usize,
    window: Window,
    tally: Mutex<Tally>,
    unanswered: AtomicUsize,
    answered: Notify,
}

impl<C: Caller> Sending<C> {
    fn pace(self: &Arc<Self>, runtime: &Handle, per_second: f64) {
        let schedule = Schedule::new(Instant::now(), per_second);
        for number in 0.. {
            let due = schedule.due(number);
            if due >= self.window.end {
                break;
            }
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                std::thread::sleep(early);
            }
            if self.unanswered.fetch_add(1, Ordering::Relaxed) < MAX_UNANSWERED {
                runtime.spawn(Arc::clone(self).send(due));
            } else {
                self.unanswered.fetch_sub(1, Ordering::Relaxed);
                self.count(|tally| tally.failed(&"not sent: too many are unanswered"));
            }
        }
    }

    async fn send(self: Arc<Self>, due: Instant) {
        let answer = checked_call(&self.caller, &self.message, self.expected).await;
        let answered = Instant::now();
        match answer {
            Ok(()) if self.window.contains(due) => {
                self.count(|tally| tally.answered(answered - due));
            }
            Ok(()) => {}
            Err(error) => self.count(|tally| tally.failed(&error)),
        }
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        self.answered.notify_one();
    }

    async fn wait_for_answers(&self) {
        while self.unanswered.load(Ordering::Relaxed) > 0 {
            self.answered.notified().await;
        }
    }

    fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::caller::BoxError;

    /// Answers nothing for 100 ms, then all at once.
    #[derive(Clone)]
    struct Stalls(Instant);

    impl Caller for Stalls {
        type Message = usize;

        fn message(&self, bytes: usize) -> usize {
            bytes
        }

        async fn call(&self, message: &usize) -> Result<usize, BoxError> {
            let open = self.0 + Duration::from_millis(100);
            tokio::time::sleep_until(open.into()).await;
            Ok(*message)
        }
    }

    #[tokio::test]
    async fn a_stall_shows_in_the_latency_of_all_that_was_due_in_it() {
        let begin = Instant::now();
        let window = Window {
            begin,
            end: begin + Duration::from_millis(100),
        };
        let tally = open_loop(&Stalls(begin), window, 1_000.0, 70).await;
        let latencies = tally.latencies();
        assert_eq!(tally.errors(), 0);
        assert!(
            (95..=100).contains(&latencies.total()),
            "{}",
            latencies.total()
        );
        assert!(latencies.quantile(0.5) >= Duration::from_millis(45));
        assert!(latencies.greatest() >= Duration::from_millis(95));
    }
}
