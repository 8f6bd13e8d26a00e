//! Signs of life of a session's tasks on the user's runtime, which the keeper checks.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::fence::Fence;
use crate::environment::{Environment, Timestamp};

/// Signs of life of one session's tasks: when the user's runtime last ran the heartbeat, and
/// whether a task has died.
pub(super) struct Pulse {
    environment: Environment,
    fence: Arc<Fence>,
    /// In nanoseconds of the environment's clock.
    last_beat: AtomicU64,
    /// Wakes the heartbeat.
    asked: Notify,
    died: CancellationToken,
}

impl Pulse {
    pub(super) fn new(environment: &Environment, fence: &Arc<Fence>) -> Self {
        Self {
            environment: environment.clone(),
            fence: fence.clone(),
            last_beat: AtomicU64::new(environment.now().as_nanos()),
            asked: Notify::new(),
            died: CancellationToken::new(),
        }
    }

    /// Runs the heartbeat, a task on the user's runtime that ends only with the session. It beats
    /// each time it is [requested](Self::ask).
    pub(super) async fn beat(&self) {
        loop {
            let now = self.environment.now().as_nanos();
            self.last_beat.store(now, Ordering::Release);
            self.asked.notified().await;
            self.environment.runtime_runs().await;
        }
    }

    /// Requests a heartbeat.
    ///
    /// A timer would not do: one worker of the runtime drives its timers and sockets, and while
    /// code blocks that worker, the idle ones are not woken. A wake from another thread reaches
    /// them, so this heartbeat also lets one of them take over the timers.
    pub(super) fn ask(&self) {
        self.asked.notify_one();
    }

    /// Returns when the heartbeat last ran.
    pub(super) fn last_beat(&self) -> Timestamp {
        Timestamp::from_nanos(self.last_beat.load(Ordering::Acquire))
    }

    /// Returns a token that is cancelled when a task of the session has died.
    pub(super) fn died(&self) -> &CancellationToken {
        &self.died
    }

    /// Runs a task of the session, and notifies the keeper if it dies.
    pub(super) async fn run(&self, name: &str, task: impl Future<Output = ()>) {
        run_to_its_end(&self.fence, name, task, || self.died.cancel()).await;
    }
}

/// Runs a task of the session to its end, and calls `died` if it dies. A task dies when it panics
/// (the panic is caught) or returns before the session is fenced.
///
/// A dropped task has not died: its session has ended, or the whole runtime.
pub(super) async fn run_to_its_end(
    fence: &Fence,
    name: &str,
    task: impl Future<Output = ()>,
    died: impl FnOnce(),
) {
    let panicked = AssertUnwindSafe(task).catch_unwind().await.is_err();
    if !panicked && fence.fenced().is_cancelled() {
        return;
    }
    // Call this before logging: the log may block, or panic.
    died();
    tracing::error!(task = name, panicked, "a task of the session died");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::environment::Simulation;
    use crate::session::FenceReason;

    fn pulse() -> (Pulse, Arc<Fence>) {
        let environment = Simulation::new(1).environment();
        let later = environment.now() + Duration::from_secs(60);
        let fence = Arc::new(Fence::new(environment.clone(), later, later));
        (Pulse::new(&environment, &fence), fence)
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_dies_when_it_panics_or_returns_too_early() {
        let (pulse, _) = pulse();
        pulse.run("panics", async { panic!("on purpose") }).await;
        assert!(pulse.died().is_cancelled());

        let (pulse, _) = self::pulse();
        pulse.run("returns", async {}).await;
        assert!(pulse.died().is_cancelled());

        let (pulse, fence) = self::pulse();
        let fenced = async { fence.trip(FenceReason::KeyLost) };
        pulse.run("is done", fenced).await;
        assert!(!pulse.died().is_cancelled());

        let (pulse, _) = self::pulse();
        drop(pulse.run("is dropped", std::future::pending()));
        assert!(!pulse.died().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_heartbeat_beats_when_it_is_asked_unless_the_runtime_is_stalled() {
        let simulation = Simulation::new(1);
        let environment = simulation.environment();
        let fence = Arc::new(Fence::new(
            environment.clone(),
            Timestamp::ZERO,
            Timestamp::ZERO,
        ));
        let pulse = Pulse::new(&environment, &fence);
        let begun = environment.now();
        let moment = Duration::from_millis(1);
        let observed = async {
            environment.sleep(Duration::from_secs(1)).await;
            assert_eq!(pulse.last_beat(), begun, "it beat without a request");
            pulse.ask();
            environment.sleep(moment).await;
            assert_eq!(pulse.last_beat(), begun + Duration::from_secs(1));
            let stalled = environment.now();
            simulation.stall(&environment, Duration::from_secs(5));
            pulse.ask();
            environment.sleep(Duration::from_millis(4_990)).await;
            assert_eq!(pulse.last_beat(), begun + Duration::from_secs(1));
            environment.sleep(Duration::from_millis(20)).await;
            // A simulated timer may be up to a millisecond late.
            let late = pulse.last_beat().since(stalled + Duration::from_secs(5));
            assert!(pulse.last_beat() >= stalled + Duration::from_secs(5) && late <= moment);
        };
        tokio::select! {
            biased;
            () = pulse.beat() => unreachable!("it beats until it is dropped"),
            () = observed => {}
        }
    }
}
