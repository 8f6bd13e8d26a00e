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
use super::keeper_driver::keep;
use super::lease_end;
use super::names::Names;
use super::own_keys::OwnKeys;
use crate::environment::{Environment, Watchdog};
use crate::registry::{LeaseId, Registry, RegistryError, RegistryErrorKind, TimedRegistry, keys};
use crate::token::Token;

/// Claims that wait for the claim driver; the caller of one more waits for a place.
const ORDER_QUEUE: usize = 1024;

/// A session that has begun. Dropped, it ends without a request to the registry, and its leases
/// run out.
#[derive(Debug)]
pub(crate) struct Session {
    names: Names,
    lease: LeaseId,
    /// The keeper, the claim driver and the watch of the session's keys. They do not panic: they
    /// run no code of users. Joined by the end of the session, aborted by a drop.
    tasks: JoinSet<()>,
    _watchdog: Watchdog,
}

impl Session {
    /// Joins the grid; see [`Joiner::join`].
    ///
    /// Dropped meanwhile, it leaves at most a lease that runs out. Once `given_up` is cancelled it
    /// ends with the attempt that is on its way: it has joined, or fails and leaves no key. Unless
    /// `patient`, that takes a little more than one time to live at the most.
    pub(crate) async fn join(
        environment: &Environment,
        registry: &Registry,
        identity: &Identity,
        ttl: Duration,
        patient: bool,
        given_up: &CancellationToken,
    ) -> Result<Self, JoinError> {
        let joiner = Joiner::new(environment, registry, identity, ttl);
        let joined = joiner.join(patient, given_up).await?;
        let lease = joined.lease.id;
        match Self::begin(environment, registry, identity, joined) {
            Ok(session) => Ok(session),
            Err(error) => {
                joiner.give_up(lease, patient).await;
                Err(JoinError::Registry(error))
            }
        }
    }

    fn begin(
        environment: &Environment,
        registry: &Registry,
        identity: &Identity,
        joined: Joined,
    ) -> Result<Self, RegistryError> {
        let Joined {
            lease,
            sent,
            revision,
            keys: own_keys,
            epoch_value,
        } = joined;
        let registry = TimedRegistry::new(environment, registry, try_limit(lease.ttl));
        let keeper = Keeper::new([(lease.id, lease.ttl, sent)]);
        let (soft, hard) = keeper.deadlines();
        let fence = Arc::new(Fence::new(environment.clone(), soft, hard));
        let watchdog = environment.watch_over(fence.clone()).map_err(|error| {
            let text = format!("the watchdog's thread cannot be started: {error}");
            RegistryError::new(RegistryErrorKind::Unavailable, text)
        })?;

        let mut tasks = JoinSet::new();
        tasks.spawn(keep(registry.clone(), fence.clone(), keeper));
        let own_keys = OwnKeys {
            registry: registry.clone(),
            fence: fence.clone(),
            keys: own_keys,
            lease: lease.id,
            created: revision,
        };
        tasks.spawn(own_keys.run());
        let epoch = Epoch {
            lease: lease.id,
            key: keys::epoch(&identity.namespace, identity.peer()),
            value: epoch_value,
            created: revision,
        };
        let (orders, order_receiver) = mpsc::channel(ORDER_QUEUE);
        let claims = ClaimDriver::new(registry.clone(), fence.clone(), epoch, order_receiver);
        tasks.spawn(claims.run());

        let token = Token::new(registry.cluster(), revision);
        Ok(Self {
            names: Names::new(registry, identity.clone(), fence, token, orders),
            lease: lease.id,
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
    pub(crate) async fn revoke(self) {
        let (registry, lease) = self.end().await;
        lease_end::revoke(&registry, lease).await;
    }

    /// Ends the session and lets its keys run out. Ends when the registry reports that they have.
    pub(crate) async fn run_out(self) {
        let (registry, lease) = self.end().await;
        lease_end::run_out(&registry, lease).await;
    }

    async fn end(mut self) -> (TimedRegistry, LeaseId) {
        self.tasks.shutdown().await;
        (self.names.timed_registry(), self.lease)
    }
}
