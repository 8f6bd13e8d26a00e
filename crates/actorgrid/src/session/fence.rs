//! The deadlines beyond which a session must not act.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::fence_reason::FenceReason;
use crate::environment::{Environment, Timestamp};
use crate::wake_list::{WakeLink, WakeList};

/// The deadlines beyond which a session must not act. They are read whenever a request is handed
/// out or answered, moved only by the session's keeper, and crossed once.
pub(crate) struct Fence {
    environment: Environment,
    /// In nanoseconds of the environment's clock; zero once fenced, so that one read decides.
    soft: AtomicU64,
    hard: AtomicU64,
    fenced: CancellationToken,
    aborted: CancellationToken,
    reason: OnceLock<FenceReason>,
    aborts: AtomicBool,
    /// Woken when the session is fenced, and when everything is to be aborted. Hot paths wait with
    /// this list: each poll of a token takes a lock that all actors would share.
    wakes: Arc<WakeList>,
    /// How often a token was handed out, whose lock all its users share.
    #[cfg(test)]
    tokens: AtomicU64,
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
            aborts: AtomicBool::new(false),
            wakes: Arc::default(),
            #[cfg(test)]
            tokens: AtomicU64::new(0),
        }
    }

    /// Whether the session may still act. Reads the clock, so that even the first step after a
    /// pause of the process is refused.
    pub(crate) fn admits(&self) -> bool {
        self.environment.now().as_nanos() < self.soft.load(Ordering::Acquire)
    }

    /// Moves the deadlines after a confirmed renewal, also backwards if the registry granted less
    /// time than before. A renewal that is confirmed after the soft deadline is too late and fences
    /// the session, which never resumes.
    pub(crate) fn extend(&self, soft: Timestamp, hard: Timestamp) {
        let old = self.soft.load(Ordering::Acquire);
        if self.environment.now().as_nanos() >= old {
            self.trip(FenceReason::Deadline);
            return;
        }
        self.hard.store(hard.as_nanos(), Ordering::Release);
        // Fails only if the fence was tripped meanwhile.
        let _ = self
            .soft
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now != 0).then_some(soft.as_nanos())
            });
    }

    /// Fences the session. The first reason is kept.
    pub(crate) fn trip(&self, reason: FenceReason) {
        // Set the reason first: a caller that is not admitted must find it.
        let first = self.reason.set(reason).is_ok();
        self.soft.store(0, Ordering::Release);
        self.fenced.cancel();
        if first {
            self.wakes.wake_all();
        }
    }

    /// Orders everything that still runs to abort now.
    pub(crate) fn abort(&self) {
        if !self.aborts.swap(true, Ordering::AcqRel) {
            self.aborted.cancel();
            self.wakes.wake_all();
        }
    }

    /// Whether the session has been fenced. Does not read the clock: see [`admits`](Self::admits).
    pub(crate) fn is_fenced(&self) -> bool {
        self.reason.get().is_some()
    }

    /// Whether everything that still runs is to be aborted.
    pub(crate) fn is_aborted(&self) -> bool {
        self.aborts.load(Ordering::Acquire)
    }

    /// Wakes all in `list` when [`is_fenced`](Self::is_fenced) or [`is_aborted`](Self::is_aborted)
    /// changes.
    pub(crate) fn link(&self, list: &Arc<WakeList>) -> WakeLink {
        self.wakes.link(list)
    }

    /// Returns how often a lock that all watchers of the fence share may have been taken.
    #[cfg(test)]
    pub(crate) fn locked(&self) -> u64 {
        self.wakes.locked() as u64 + self.tokens.load(Ordering::Relaxed)
    }

    /// Returns a token that is cancelled when the session is fenced. Not for hot paths: see
    /// [`is_fenced`](Self::is_fenced) and [`link`](Self::link).
    pub(crate) fn fenced(&self) -> &CancellationToken {
        #[cfg(test)]
        self.tokens.fetch_add(1, Ordering::Relaxed);
        &self.fenced
    }

    /// Returns a token that is cancelled when everything that still runs is to be aborted. Not for
    /// hot paths either.
    pub(crate) fn aborted(&self) -> &CancellationToken {
        #[cfg(test)]
        self.tokens.fetch_add(1, Ordering::Relaxed);
        &self.aborted
    }

    pub(crate) fn reason(&self) -> Option<FenceReason> {
        self.reason.get().copied()
    }

    /// Returns the time by which everything that runs under the session must have ended.
    pub(crate) fn hard(&self) -> Timestamp {
        Timestamp::from_nanos(self.hard.load(Ordering::Acquire))
    }

    /// Compares the clock with the deadlines, and fences or aborts if one has passed. Returns false
    /// once everything is to be aborted, as nothing is left to check then. Never logs, as a log can
    /// block.
    pub(super) fn look(&self) -> bool {
        let now = self.environment.now();
        if !self.admits() && !self.fenced.is_cancelled() {
            self.trip(FenceReason::Deadline);
        }
        if now >= self.hard() {
            self.trip(FenceReason::Deadline);
            self.abort();
        }
        !self.is_aborted()
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
