//! The line that a session must not act beyond.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::fence_reason::FenceReason;
use crate::environment::{Environment, Timestamp};

/// The line that a session must not act beyond: read on every admission and answer, moved only by
/// its keeper, and crossed once.
pub(crate) struct Fence {
    environment: Environment,
    /// Nanoseconds of the environment's clock; zero once fenced, so that one read decides.
    soft: AtomicU64,
    hard: AtomicU64,
    fenced: CancellationToken,
    aborted: CancellationToken,
    reason: OnceLock<FenceReason>,
}

impl Fence {
    pub(crate) fn new(environment: Environment, soft: Timestamp, hard: Timestamp) -> Self {
        Self {
            environment,
            soft: AtomicU64::new(soft.as_nanos()),
            hard: AtomicU64::new(hard.as_nanos()),
            fenced: CancellationToken::new(),
            aborted: CancellationToken::new(),
            reason: OnceLock::new(),
        }
    }

    /// Whether the session may still act. Reads the clock, so the first step after a pause of the
    /// process is refused already.
    pub(crate) fn admits(&self) -> bool {
        self.environment.now().as_nanos() < self.soft.load(Ordering::Acquire)
    }

    /// Moves the deadlines after a confirmed renewal: also back, if the registry gave less time
    /// than before. One that comes after the soft deadline is too late: the session ends once and
    /// never comes back.
    pub(crate) fn extend(&self, soft: Timestamp, hard: Timestamp) {
        let old = self.soft.load(Ordering::Acquire);
        if self.environment.now().as_nanos() >= old {
            self.trip(FenceReason::Deadline);
            return;
        }
        self.hard.store(hard.as_nanos(), Ordering::Release);
        // Fails only when the fence was tripped meanwhile.
        let _ = self
            .soft
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now != 0).then_some(soft.as_nanos())
            });
    }

    /// Fences the session. The first reason stays.
    pub(crate) fn trip(&self, reason: FenceReason) {
        // The reason first: it is there for everybody who is not admitted.
        let _ = self.reason.set(reason);
        self.soft.store(0, Ordering::Release);
        self.fenced.cancel();
    }

    /// Everything that still runs is to be aborted now.
    pub(crate) fn abort(&self) {
        self.aborted.cancel();
    }

    /// Cancelled when the session is fenced.
    pub(crate) fn fenced(&self) -> &CancellationToken {
        &self.fenced
    }

    /// Cancelled when everything that still runs is to be aborted.
    pub(crate) fn aborted(&self) -> &CancellationToken {
        &self.aborted
    }

    pub(crate) fn reason(&self) -> Option<FenceReason> {
        self.reason.get().copied()
    }

    /// The time by which everything that runs under the session must have ended.
    pub(crate) fn hard(&self) -> Timestamp {
        Timestamp::from_nanos(self.hard.load(Ordering::Acquire))
    }

    /// Compares the clock with the deadlines, and does what is due. Returns false once everything
    /// is to be aborted: then nothing is left to look for. Never logs, as a log can block.
    pub(super) fn look(&self) -> bool {
        let now = self.environment.now();
        if !self.admits() && !self.fenced.is_cancelled() {
            self.trip(FenceReason::Deadline);
        }
        if now >= self.hard() {
            self.trip(FenceReason::Deadline);
            self.abort();
        }
        !self.aborted.is_cancelled()
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence")
            .field("reason", &self.reason())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_shorter_time_to_live_moves_the_deadlines_back() {
        let environment = crate::environment::Simulation::new(1).environment();
        let at = |seconds| environment.now() + Duration::from_secs(seconds);
        let fence = Fence::new(environment.clone(), at(40), at(54));
        let hard = at(5);
        fence.extend(at(4), hard);
        assert_eq!(fence.hard(), hard);
        environment.sleep(Duration::from_secs(4)).await;
        assert!(!fence.admits());
        environment.sleep(Duration::from_secs(1)).await;
        assert!(!fence.look());
        assert!(fence.aborted().is_cancelled());
    }
}
