//! Limits how long the owner of a busy mailbox keeps its thread.

use std::time::Duration;

use crate::environment::Deadline;

/// The time after which the owner lets other tasks run, if its queue is never empty. Short enough
/// that callers of other actors do not notice it, and long enough that yielding costs next to
/// nothing.
const TURN_TIME: Duration = Duration::from_millis(2);
/// How many requests are taken before the clock is read again.
const REQUESTS_PER_LOOK: u32 = 8;

/// The turn of a mailbox's owner on its thread.
///
/// tokio's cooperative budget ends a turn only after 128 requests, however long their handlers
/// compute. At a millisecond each, that blocks the thread for 128 ms. It also blocks the task that
/// was last woken on the thread: tokio lets no other thread take that task over.
pub(super) struct ReceiveTurn {
    /// When the turn ends; `None` until the clock has been read in this turn.
    ends: Option<Deadline>,
    requests: u32,
}

impl ReceiveTurn {
    pub(super) fn new() -> Self {
        Self {
            ends: None,
            requests: 0,
        }
    }

    /// Begins a new turn: the owner is about to wait, so others run.
    pub(super) fn begin(&mut self) {
        *self = Self::new();
    }

    /// Call this before taking a request. If the turn is over, lets other tasks run first.
    pub(super) async fn next(&mut self) {
        tokio::task::consume_budget().await;
        self.requests += 1;
        if self.requests < REQUESTS_PER_LOOK {
            return;
        }
        self.requests = 0;
        match &self.ends {
            None => self.ends = Some(Deadline::after(TURN_TIME)),
            Some(ends) if ends.remaining().is_zero() => {
                self.begin();
                tokio::task::yield_now().await;
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Runs in real time, as a thread that is busy computing cannot be simulated.
    #[tokio::test]
    #[allow(clippy::disallowed_methods)]
    async fn an_owner_whose_handlers_compute_lets_others_run_in_time() {
        let (mut turn, others_ran) = (ReceiveTurn::new(), Cell::new(false));
        let owner = async {
            let mut handled = 0;
            while !others_ran.get() {
                turn.next().await;
                std::thread::sleep(Duration::from_millis(1));
                handled += 1;
            }
            handled
        };
        let others = async { others_ran.set(true) };
        let (handled, ()) = tokio::join!(biased; owner, others);
        assert!(handled <= 2 * REQUESTS_PER_LOOK, "{handled}");
    }
}
