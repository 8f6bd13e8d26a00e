//! One life of a peer in the registry: leases and their keeper, the fence, claims.
//!
//! A session begins with one transaction, renews its leases, claims and releases names, and ends
//! once: fenced, or left. It never comes back; a peer that goes on joins under a new one.

mod claim_command;
mod claim_driver;
mod claim_error;
mod claim_event;
mod claim_exchange;
mod claim_lease;
mod claim_rules;
mod claim_scheduler;
mod claimed_names;
mod driver;
mod exchange;
mod fence;
mod held_names;
mod join;
mod keeper;
mod on_free;
mod own_keys;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::address::Address;
use crate::environment::{Environment, Watchdog};
use crate::name::{Name, Namespace};
use crate::registry::{
    Kind, LeaseId, Registry, RegistryError, RegistryErrorKind, TimedRegistry, keys, write,
};
use crate::revision::Revision;
use crate::token::Token;

pub(crate) use claim_error::ClaimError;
pub(crate) use fence::Fence;
pub use fence::FenceReason;
pub(crate) use held_names::HeldNames;
pub(crate) use join::JoinError;

use claim_driver::{ClaimDriver, ClaimWaiter, Epoch};
use claim_event::ClaimOrder;
use join::{Joined, Joiner};
use keeper::Keeper;
use on_free::OnFree;
use own_keys::OwnKeys;

/// Claims that wait for the claim driver; the caller of one more waits for a place.
const ORDER_QUEUE: usize = 1024;

/// Who a peer is, over all its sessions.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) namespace: Namespace,
    pub(crate) address: Address,
    pub(crate) annotations: Arc<[String]>,
}

impl Identity {
    pub(crate) fn peer(&self) -> &Name {
        self.address.peer_name()
    }
}

/// A session that has begun. Dropped, it ends without a word to the registry, and its leases run
/// out.
#[derive(Debug)]
pub(crate) struct Session {
    names: Names,
    lease: LeaseId,
    limit: Duration,
    /// The keeper, the claim driver and the watch of the session's keys. They do not panic: what they
    /// run is ours. Joined by `leave`, aborted by a drop.
    tasks: JoinSet<()>,
    _watchdog: Watchdog,
}

/// What claims names for a session. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    environment: Environment,
    registry: Registry,
    identity: Identity,
    fence: Arc<Fence>,
    token: Token,
    orders: mpsc::Sender<ClaimOrder<ClaimWaiter, OnFree>>,
    /// The time that one exchange with the registry may take.
    limit: Duration,
}

impl Names {
    pub(crate) fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The token of the peer and its mailbox.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// The token of names registered at this revision.
    pub(crate) fn token_at(&self, revision: Revision) -> Token {
        Token::new(self.token.cluster(), revision)
    }

    /// The registry, with the time that one exchange may take.
    pub(crate) fn timed_registry(&self) -> TimedRegistry {
        TimedRegistry::new(&self.environment, &self.registry, self.limit)
    }

    /// Claims names together: all of them or none. `reserved` is what reserves them at this peer:
    /// it is dropped when they are free again, or were not won.
    ///
    /// Cancel safe: a claim that nobody waits for is carried to its end, and released.
    pub(crate) async fn claim(
        &self,
        names: &[(Kind, &Name)],
        reserved: impl Send + Sync + 'static,
    ) -> Result<HeldNames, ClaimError> {
        let nonce = self.environment.random_u64();
        let puts = names
            .iter()
            .map(|(kind, name)| {
                let key = keys::of(&self.identity.namespace, *kind, name);
                let value = write(&key, &self.identity.address, &[], Some(nonce));
                (key, value)
            })
            .collect();
        let (waiter, answer) = oneshot::channel();
        let order = ClaimOrder {
            nonce,
            puts,
            waiter,
            reservation: OnFree::dropping(reserved),
        };
        if self.orders.send(order).await.is_err() {
            return Err(ClaimError::Fenced);
        }
        // The claim driver answers every order unless it is aborted with its session.
        answer.await.unwrap_or(Err(ClaimError::Fenced))
    }
}

impl Session {
    /// Joins the grid; see [`Joiner::join`].
    ///
    /// Dropped meanwhile, it leaves at most a lease that runs out.
    pub(crate) async fn join(
        environment: &Environment,
        registry: &Registry,
        identity: &Identity,
        ttl: Duration,
        patient: bool,
    ) -> Result<Self, JoinError> {
        let joiner = Joiner {
            environment,
            registry,
            identity,
            ttl,
        };
        let joined = joiner.join(patient).await?;
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
        let limit = keeper::try_limit(lease.ttl);
        let keeper = Keeper::new([(lease.id, lease.ttl, sent)]);
        let (soft, hard) = keeper.deadlines();
        let fence = Arc::new(Fence::new(environment.clone(), soft, hard));
        let watchdog = environment.watch_over(fence.clone()).map_err(|error| {
            let text = format!("the watchdog's thread cannot be started: {error}");
            RegistryError::new(RegistryErrorKind::Unavailable, text)
        })?;
        let (orders, order_receiver) = mpsc::channel(ORDER_QUEUE);
        let (given_up_sender, given_up) = mpsc::unbounded_channel();

        let mut tasks = JoinSet::new();
        tasks.spawn(driver::keep(
            environment.clone(),
            registry.clone(),
            fence.clone(),
            keeper,
        ));
        let watch = OwnKeys {
            environment: environment.clone(),
            registry: registry.clone(),
            fence: fence.clone(),
            limit,
            keys: own_keys,
            lease: lease.id,
            created: revision,
        };
        tasks.spawn(watch.run());
        let epoch = Epoch {
            lease: lease.id,
            key: keys::epoch(&identity.namespace, identity.peer()),
            value: epoch_value,
            created: revision,
        };
        let claims = ClaimDriver {
            environment: environment.clone(),
            registry: registry.clone(),
            limit,
            fence: fence.clone(),
            epoch: Arc::new(epoch),
            orders: order_receiver,
            given_up,
            given_up_sender,
        };
        tasks.spawn(claims.run());

        Ok(Self {
            names: Names {
                environment: environment.clone(),
                registry: registry.clone(),
                identity: identity.clone(),
                fence,
                token: Token::new(registry.backend().cluster(), revision),
                orders,
                limit,
            },
            lease: lease.id,
            limit,
            tasks,
            _watchdog: watchdog,
        })
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn fence(&self) -> &Arc<Fence> {
        &self.names.fence
    }

    /// Ends the session and deletes its keys. Ends when the registry has confirmed it: the caller
    /// bounds the time. Nothing may run under the session any more.
    pub(crate) async fn revoke(self) {
        let (environment, registry, limit, lease) = self.end().await;
        join::revoke(&environment, &registry, limit, lease).await;
    }

    /// Ends the session and lets its keys run out. Ends when the registry says that they have.
    pub(crate) async fn run_out(self) {
        let (environment, registry, limit, lease) = self.end().await;
        join::run_out(&environment, &registry, limit, lease).await;
    }

    async fn end(mut self) -> (Environment, Registry, Duration, LeaseId) {
        self.tasks.shutdown().await;
        let Names {
            environment,
            registry,
            ..
        } = self.names;
        (environment, registry, self.limit, self.lease)
    }
}
