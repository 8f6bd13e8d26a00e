//! A session of a peer in the registry: owns its tasks and threads, from the join to the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::claim_driver::{ClaimDriver, order_queue};
use super::epoch::Epoch;
use super::fence::Fence;
use super::identity::Identity;
use super::join_error::JoinError;
use super::joiner::{Joined, Joiner};
use super::keeper::{Keeper, try_limit};
use super::keeper_driver::KeeperDriver;
use super::lease_end;
use super::lease_supply::{LeaseGranter, LeaseSupply};
use super::names::Names;
use super::own_keys::{OwnKey, OwnKeys};
use super::pulse::Pulse;
use super::session_leases::SessionLeases;
use super::terms::SessionTerms;
use super::upkeep::Upkeep;
use crate::environment::{DedicatedRuntime, Environment, Watchdog};
use crate::registry::{Registry, RegistryError, RegistryErrorKind, TimedRegistry, keys};
use crate::token::Token;

/// The maximum number of claims that wait for the claim driver; further callers wait for a place.
const ORDER_QUEUE_CAPACITY: usize = 1024;
/// The name of the keeper's thread.
const KEEPER_THREAD: &str = "actorgrid-keeper";
/// How long the keeper and the tasks have to end with their session. They end at their next await,
/// and the log is the only user code that they run; one that takes longer is blocked there.
const TASK_END_TIMEOUT: Duration = Duration::from_secs(1);

/// A session that has begun. If it is dropped, it ends without a request to the registry, and its
/// leases expire.
#[derive(Debug)]
pub(crate) struct Session {
    names: Names,
    leases: Arc<SessionLeases>,
    /// The keeper and the watch of the session's keys. The end of the session waits for them before
    /// it ends the leases, so that nothing is renewed after that; a drop ends them without waiting.
    upkeep: DedicatedRuntime,
    /// The claim driver and the heartbeat. They run no user code; if one panics, the keeper fences
    /// the session. The end of the session joins them; a drop aborts them.
    tasks: JoinSet<()>,
    /// Fences and aborts at the deadlines, whatever blocks the keeper.
    _watchdog: Watchdog,
}

impl Session {
    /// Joins the grid; see [`Joiner::join`].
    ///
    /// If this future is dropped, it leaves at most a lease that expires. Once `given_up` is
    /// cancelled, it ends with the attempt that is under way: it has joined, or it fails and leaves
    /// no key. Unless `patient`, that takes at most a little more than one time to live, and so
    /// does everything after the `join_timeout`.
    pub(crate) async fn join(
        environment: &Environment,
        registry: &Registry,
        identity: &Identity,
        terms: &SessionTerms,
        patient: bool,
        given_up: &CancellationToken,
    ) -> Result<Self, JoinError> {
        let joiner = Joiner::new(environment, registry, identity, terms.ttl);
        let bound = (!patient).then_some(terms.join_timeout);
        let joined = joiner.join(bound, given_up).await?;
        let lease = joined.lease.id;
        match Self::begin(environment, registry, identity, terms, joined).await {
            Ok(session) => Ok(session),
            Err(error) => {
                joiner.abandon(lease, patient).await;
                Err(JoinError::Registry(error))
            }
        }
    }

    async fn begin(
        environment: &Environment,
        registry: &Registry,
        identity: &Identity,
        terms: &SessionTerms,
        joined: Joined,
    ) -> Result<Self, RegistryError> {
        let Joined {
            lease,
            sent,
            revision,
            keys: own_keys,
            epoch_value,
        } = joined;
        let limit = try_limit(lease.ttl);
        let keeper = Keeper::new([(lease.id, lease.ttl, sent)], terms.max_stall);
        let (soft, hard) = keeper.deadlines();
        let leases = Arc::new(SessionLeases::new(lease.id));
        let fence = Arc::new(Fence::new(environment.clone(), soft, hard));
        let pulse = Arc::new(Pulse::new(environment, &fence));
        let watched = fence.clone();
        let watchdog = environment.watch_over(move || watched.look());
        let watchdog = watchdog.map_err(thread_error)?;
        let dedicated = TimedRegistry::new(environment, &registry.dedicated(), limit);
        let granter = LeaseGranter::new(&dedicated, identity, terms.ttl, &leases);
        let (supply, further, further_keys) = LeaseSupply::new(granter);
        let own_key = |key| OwnKey {
            key,
            lease: lease.id,
            created: revision,
        };
        let upkeep = Upkeep {
            fence: fence.clone(),
            pulse: pulse.clone(),
            keeper: KeeperDriver {
                registry: dedicated.clone(),
                fence: fence.clone(),
                pulse: pulse.clone(),
                keeper,
                longest_stall: terms.longest_stall.clone(),
                supply,
            },
            own_keys: OwnKeys {
                registry: dedicated,
                fence: fence.clone(),
                keys: own_keys.into_iter().map(own_key).collect(),
                further: further_keys,
                ttl: lease.ttl,
            },
        };
        let upkeep = environment.run_dedicated(KEEPER_THREAD, upkeep.run()).await;
        let upkeep = upkeep.map_err(thread_error)?;

        let registry = TimedRegistry::new(environment, registry, limit);
        let epoch = Epoch {
            lease: lease.id,
            key: keys::epoch(&identity.namespace, identity.peer()),
            value: epoch_value,
            created: revision,
        };
        let (orders, order_receiver) = order_queue(ORDER_QUEUE_CAPACITY);
        let claims = ClaimDriver::new(
            registry.clone(),
            fence.clone(),
            epoch,
            further,
            terms.names_per_lease,
            order_receiver,
        );
        let mut tasks = JoinSet::new();
        let watched = pulse.clone();
        tasks.spawn(async move { watched.run("claim driver", claims.run()).await });
        tasks.spawn(async move { pulse.run("heartbeat", pulse.beat()).await });

        let token = Token::new(registry.cluster(), revision);
        Ok(Self {
            names: Names::new(registry, identity.clone(), fence, token, orders),
            leases,
            upkeep,
            tasks,
            _watchdog: watchdog,
        })
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn fence(&self) -> &Arc<Fence> {
        self.names.fence()
    }

    /// Returns the number of leases with names, beside that of the peer's own registration.
    pub(crate) fn further_leases(&self) -> usize {
        self.leases.kept()
    }

    /// Returns a future that waits until the registry reports that all leases have expired. It does
    /// not need the session, which may have been dropped without an [end](Self::run_out).
    pub(crate) fn expired(&self) -> impl Future<Output = ()> + Send + use<> {
        let (registry, leases) = (self.names.timed_registry(), self.leases.clone());
        async move { lease_end::run_all_out(&registry, &leases).await }
    }

    /// Ends the session and deletes its keys. Returns once the registry has confirmed that; the
    /// caller bounds the time. Nothing may run under the session any more.
    ///
    /// If the keeper does not end in time, it might renew the leases once more, so they are left to
    /// expire.
    pub(crate) async fn revoke(self) {
        let (registry, leases) = (self.names.timed_registry(), self.leases.clone());
        if self.end().await {
            lease_end::revoke_all(&registry, &leases).await;
        } else {
            lease_end::run_all_out(&registry, &leases).await;
        }
    }

    /// Ends the session and lets its leases expire. Returns once the registry reports that they
    /// have.
    pub(crate) async fn run_out(self) {
        let expired = self.expired();
        self.end().await;
        expired.await;
    }

    /// Ends the keeper and the tasks. Returns whether they have ended in time; if not, they end as
    /// soon as they are no longer blocked.
    async fn end(self) -> bool {
        let registry = self.names.timed_registry();
        let (upkeep, mut tasks) = (self.upkeep, self.tasks);
        let end = async {
            upkeep.stop().await;
            tasks.shutdown().await;
        };
        let ended = registry.environment().timeout(TASK_END_TIMEOUT, end).await;
        if ended.is_none() {
            tracing::error!("the keeper is blocked, leaving its leases to expire");
        }
        ended.is_some()
    }
}

fn thread_error(error: std::io::Error) -> RegistryError {
    let text = format!("cannot start a thread of the session: {error}");
    RegistryError::new(RegistryErrorKind::Unavailable, text).caused_by(error)
}

#[cfg(test)]
mod tests;
