//! One life of a peer in the registry.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::claim_driver::ClaimDriver;
use super::epoch::Epoch;
use super::fence::Fence;
use super::identity::Identity;
use super::join_error::JoinError;
use super::joiner::{Joined, Joiner};
use super::keeper::{Keeper, try_limit};
use super::keeper_driver::KeeperDriver;
use super::lease_end;
use super::names::Names;
use super::own_keys::OwnKeys;
use super::pulse::Pulse;
use super::terms::SessionTerms;
use super::upkeep::Upkeep;
use crate::environment::{DedicatedRuntime, Environment, Watchdog};
use crate::registry::{LeaseId, Registry, RegistryError, RegistryErrorKind, TimedRegistry, keys};
use crate::token::Token;

/// Claims that wait for the claim driver; the caller of one more waits for a place.
const ORDER_QUEUE: usize = 1024;
/// The name of the keeper's thread.
const KEEPER_THREAD: &str = "actorgrid-keeper";
/// How long keeper and tasks have to end with their session. They do so at their next await, and run
/// no user code but the log; one that takes longer is blocked there.
const END_BOUND: Duration = Duration::from_secs(1);

/// A session that has begun. Dropped, it ends without a request to the registry, and its leases
/// run out.
#[derive(Debug)]
pub(crate) struct Session {
    names: Names,
    lease: LeaseId,
    /// The keeper and the watch of the session's keys. Ended by the end of the session before its
    /// lease is, so that nothing is renewed after that; by a drop, without waiting.
    upkeep: DedicatedRuntime,
    /// The claim driver and the heartbeat. They run no code of users; should one panic, the keeper
    /// ends the session. Joined by the end of the session, aborted by a drop.
    tasks: JoinSet<()>,
    /// Trips the fence and aborts when it is time, whatever blocks the keeper.
    _watchdog: Watchdog,
}

impl Session {
    /// Joins the grid; see [`Joiner::join`].
    ///
    /// Dropped meanwhile, it leaves at most a lease that runs out. Once `given_up` is cancelled it
    /// ends with the attempt that is on its way: it has joined, or fails and leaves no key. Unless
    /// `patient`, that takes a little more than one time to live at the most, and so does all that
    /// follows the `join_timeout`.
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
                joiner.give_up(lease, patient).await;
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
        let fence = Arc::new(Fence::new(environment.clone(), soft, hard));
        let pulse = Arc::new(Pulse::new(environment, &fence));
        let watched = fence.clone();
        let watchdog = environment.watch_over(move || watched.look());
        let watchdog = watchdog.map_err(no_thread)?;
        let dedicated = TimedRegistry::new(environment, &registry.dedicated(), limit);
        let upkeep = Upkeep {
            fence: fence.clone(),
            pulse: pulse.clone(),
            keeper: KeeperDriver {
                registry: dedicated.clone(),
                fence: fence.clone(),
                pulse: pulse.clone(),
                keeper,
                longest_stall: terms.longest_stall.clone(),
            },
            own_keys: OwnKeys {
                registry: dedicated,
                fence: fence.clone(),
                keys: own_keys,
                lease: lease.id,
                ttl: lease.ttl,
                created: revision,
            },
        };
        let upkeep = environment.run_dedicated(KEEPER_THREAD, upkeep.run()).await;
        let upkeep = upkeep.map_err(no_thread)?;

        let registry = TimedRegistry::new(environment, registry, limit);
        let epoch = Epoch {
            lease: lease.id,
            key: keys::epoch(&identity.namespace, identity.peer()),
            value: epoch_value,
            created: revision,
        };
        let (orders, order_receiver) = mpsc::channel(ORDER_QUEUE);
        let claims = ClaimDriver::new(registry.clone(), fence.clone(), epoch, order_receiver);
        let mut tasks = JoinSet::new();
        let watched = pulse.clone();
        tasks.spawn(async move { watched.run("claim driver", claims.run()).await });
        tasks.spawn(async move { pulse.run("heartbeat", pulse.beat()).await });

        let token = Token::new(registry.cluster(), revision);
        Ok(Self {
            names: Names::new(registry, identity.clone(), fence, token, orders),
            lease: lease.id,
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

    /// Ends the session and deletes its keys. Ends when the registry has confirmed it: the caller
    /// bounds the time. Nothing may run under the session any more.
    ///
    /// If the keeper does not end in time, its lease is left to run out, as it may be renewed once
    /// more.
    pub(crate) async fn revoke(self) {
        let (registry, lease) = (self.names.timed_registry(), self.lease);
        if self.end().await {
            lease_end::revoke(&registry, lease).await;
        } else {
            lease_end::run_out(&registry, lease).await;
        }
    }

    /// Ends the session and lets its keys run out. Ends when the registry reports that they have.
    pub(crate) async fn run_out(self) {
        let (registry, lease) = (self.names.timed_registry(), self.lease);
        self.end().await;
        lease_end::run_out(&registry, lease).await;
    }

    /// Ends keeper and tasks. Returns whether they have ended in time: if not, they are to end as
    /// soon as they go on.
    async fn end(self) -> bool {
        let registry = self.names.timed_registry();
        let (upkeep, mut tasks) = (self.upkeep, self.tasks);
        let end = async {
            upkeep.stop().await;
            tasks.shutdown().await;
        };
        let ended = registry.environment().timeout(END_BOUND, end).await;
        if ended.is_none() {
            tracing::error!("the keeper is blocked, so its lease is left to run out");
        }
        ended.is_some()
    }
}

fn no_thread(error: std::io::Error) -> RegistryError {
    let text = format!("a thread of the session cannot be started: {error}");
    RegistryError::new(RegistryErrorKind::Unavailable, text).caused_by(error)
}

#[cfg(test)]
mod tests;
