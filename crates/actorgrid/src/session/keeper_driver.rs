//! The loop that carries out the keeper's commands.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::fence::Fence;
use super::keeper::{Keeper, KeeperCommand, StallReport};
use super::lease_supply::{GrantedLease, LeaseSupply};
use super::longest_stall::LongestStall;
use super::pulse::Pulse;
use crate::environment::Timestamp;
use crate::registry::{Lease, LeaseId, RegistryError, RegistryErrorKind, TimedRegistry};

/// The time between two checks of the heartbeat, each of which requests the next beat: a twentieth
/// of the shortest `max_stall`.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Renews the leases of a session, and grants it further ones.
pub(super) struct KeeperDriver {
    /// Uses dedicated connections.
    pub(super) registry: TimedRegistry,
    pub(super) fence: Arc<Fence>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) keeper: Keeper,
    pub(super) longest_stall: Arc<LongestStall>,
    pub(super) supply: LeaseSupply,
}

impl KeeperDriver {
    /// Renews the leases, and grants further ones, until the session is fenced. After that, only
    /// checks whether the runtime recovers, until this future is dropped.
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
        // At most one.
        let mut grants = FuturesUnordered::new();
        let mut granted = None;
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
            // Only now, as the fence has moved to the deadlines of this lease too.
            if let Some(lease) = granted.take()
                && !fence.is_fenced()
            {
                self.supply.hand_out(lease);
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
                Some((lease, sent, renewed)) = renewals.next() => {
                    commands = self.renewed(lease, sent, renewed);
                }
                Some(grant) = grants.next() => (commands, granted) = self.granted(grant),
                Some(pause) = self.supply.requests.recv(), if grants.is_empty() => {
                    grants.push(self.supply.grant(pause));
                }
                () = environment.sleep_until(wakes_at) => {}
            }
        }
    }

    /// Handles the outcome of a renewal.
    fn renewed(
        &mut self,
        lease: LeaseId,
        sent: Timestamp,
        renewed: Result<Duration, RegistryError>,
    ) -> Vec<KeeperCommand> {
        let now = self.registry.environment().now();
        let error = match renewed {
            Ok(ttl) => return self.keeper.renewed(lease, sent, ttl, now),
            Err(error) => error,
        };
        if error.kind() == RegistryErrorKind::LeaseNotFound {
            return self.keeper.gone(lease, sent);
        }
        if error.is_other_registry() {
            let commands = self.keeper.found_other_cluster(lease, sent, now);
            tracing::warn!(%error, "renewing the lease reached another registry");
            return commands;
        }
        self.keeper.failed(lease, sent, now);
        // One of many leases that fail together is enough for the log.
        if self.keeper.sets_deadline(lease) {
            tracing::warn!(%error, "renewing the lease failed");
        }
        Vec::new()
    }

    /// Handles the outcome of a request for a further lease. A lease that is returned is to be
    /// handed out after the commands are carried out.
    fn granted(
        &mut self,
        grant: Result<GrantedLease, RegistryError>,
    ) -> (Vec<KeeperCommand>, Option<GrantedLease>) {
        let now = self.registry.environment().now();
        let error = match grant {
            Ok(granted) => {
                let Lease { id, ttl } = granted.lease;
                match self.keeper.add(id, ttl, granted.sent, now) {
                    Some(extend) => return (vec![extend], Some(granted)),
                    // It carries no name, and expires.
                    None => RegistryError::no_reply(),
                }
            }
            Err(error) => error,
        };
        self.supply.refuse(error.clone());
        tracing::warn!(%error, "the session was granted no further lease");
        (Vec::new(), None)
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
