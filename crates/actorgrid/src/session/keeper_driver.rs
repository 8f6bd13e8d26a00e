//! The loop that carries out the keeper's commands.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::fence::Fence;
use super::keeper::{Keeper, KeeperCommand, StallReport};
use super::longest_stall::LongestStall;
use super::pulse::Pulse;
use crate::registry::{RegistryErrorKind, TimedRegistry};

/// The time between two checks of the heartbeat, each of which requests the next beat: a twentieth
/// of the shortest `max_stall`.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Renews the leases of a session.
pub(super) struct KeeperDriver {
    /// Uses dedicated connections.
    pub(super) registry: TimedRegistry,
    pub(super) fence: Arc<Fence>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) keeper: Keeper,
    pub(super) longest_stall: Arc<LongestStall>,
}

impl KeeperDriver {
    /// Renews the leases until the session is fenced. After that, only checks whether the runtime
    /// recovers, until this future is dropped.
    ///
    /// Acts before it logs: a log may block, or panic.
    pub(super) async fn run(mut self) {
        self.keep().await;
        loop {
            let report = self.look();
            self.log(report);
            self.registry.environment().sleep(LOOK_INTERVAL).await;
        }
    }

    async fn keep(&mut self) {
        let registry = self.registry.clone();
        let environment = registry.environment();
        let (fence, pulse) = (self.fence.clone(), self.pulse.clone());
        let mut task_died = false;
        let restored = registry.restored();
        let mut renewals = FuturesUnordered::new();
        let mut commands = Vec::new();
        loop {
            let report = self.look();
            let now = environment.now();
            commands.extend(self.keeper.tick(now));
            let mut ended = None;
            for command in commands.drain(..) {
                match command {
                    KeeperCommand::Renew { lease, sent, limit } => {
                        let registry = registry.with_limit(limit);
                        renewals.push(async move {
                            let renewed = registry.exchange(|backend| backend.renew(lease)).await;
                            (lease, sent, renewed)
                        });
                    }
                    KeeperCommand::Extend { soft, hard } => fence.extend(soft, hard),
                    KeeperCommand::Fence(reason) => {
                        fence.trip(reason);
                        ended = Some(reason);
                    }
                }
            }
            self.log(report);
            if let Some(reason) = ended {
                // A stalled runtime cannot log this itself.
                tracing::warn!(%reason, "the keeper fences the session");
            }
            let wakes_at = self.keeper.wakes_at().min(now + LOOK_INTERVAL);
            tokio::select! {
                biased;
                () = fence.fenced().cancelled() => return,
                () = pulse.died().cancelled(), if !task_died => {
                    task_died = true;
                    commands = self.keeper.task_died();
                }
                () = restored.cancelled() => commands = self.keeper.cluster_changed(),
                Some((lease, sent, renewed)) = renewals.next() => match renewed {
                    Ok(ttl) => commands = self.keeper.renewed(lease, sent, ttl, environment.now()),
                    Err(error) if error.kind() == RegistryErrorKind::LeaseNotFound => {
                        commands = self.keeper.gone(lease, sent);
                    }
                    Err(error) if error.is_other_registry() => {
                        commands = self.keeper.found_other_cluster(lease, sent, environment.now());
                        tracing::warn!(%error, "renewing the lease reached another registry");
                    }
                    Err(error) => {
                        self.keeper.failed(lease, sent, environment.now());
                        tracing::warn!(%error, "renewing the lease failed");
                    }
                },
                () = environment.sleep_until(wakes_at) => {}
            }
        }
    }

    /// Checks the heartbeat and requests the next one. Returns the stall that has begun or ended.
    ///
    /// Checks the fence as well: nothing else would notice that the watchdog has died.
    fn look(&mut self) -> Option<StallReport> {
        self.fence.look();
        // Read the beat before the clock: otherwise a beat in between would lie in the future.
        let beat = self.pulse.last_beat();
        let now = self.registry.environment().now();
        self.pulse.ask();
        let report = self.keeper.look(now, beat);
        self.record(report)
    }

    fn record(&self, report: Option<StallReport>) -> Option<StallReport> {
        match report {
            Some(StallReport::Began { silence: time } | StallReport::Ended { lasted: time }) => {
                self.longest_stall.record(time);
            }
            None => {}
        }
        report
    }

    fn log(&self, report: Option<StallReport>) {
        match report {
            Some(StallReport::Began { silence }) => tracing::warn!(
                ?silence,
                "the runtime is stalled: code in its tasks blocks its threads"
            ),
            Some(StallReport::Ended { lasted }) => {
                tracing::warn!(?lasted, "the runtime has recovered from a stall");
            }
            None => {}
        }
    }
}

impl Drop for KeeperDriver {
    fn drop(&mut self) {
        let looked = self.look();
        let end = self.keeper.end();
        let ended = self.record(end);
        // The log itself may have panicked: a second panic would abort the process.
        if !std::thread::panicking() {
            self.log(looked);
            self.log(ended);
        }
    }
}
