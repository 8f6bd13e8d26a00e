//! Grants further leases to a session that has begun.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::epoch::{self, Epoch};
use super::identity::Identity;
use super::keeper;
use super::own_keys::OwnKey;
use super::session_leases::SessionLeases;
use crate::environment::Timestamp;
use crate::registry::{
    ClaimOutcome, Lease, LeaseId, RegistryError, RegistryErrorKind, TimedRegistry, keys,
};

/// The claim driver's way to further leases. At most one request is open.
pub(super) struct FurtherLeases {
    /// Receives the pause before the request.
    pub(super) requests: mpsc::Sender<Duration>,
    pub(super) granted: mpsc::Receiver<Result<Epoch, RegistryError>>,
}

/// Grants further leases, on the keeper's thread and connection.
pub(super) struct LeaseSupply {
    pub(super) requests: mpsc::Receiver<Duration>,
    granted: mpsc::Sender<Result<Epoch, RegistryError>>,
    /// Receives the epoch key of each lease that is handed out. Not bounded: a session has a lease
    /// for each thousand names.
    own_keys: mpsc::UnboundedSender<OwnKey>,
    granter: Arc<LeaseGranter>,
}

/// A further lease, and its epoch key.
pub(super) struct GrantedLease {
    pub(super) lease: Lease,
    /// When the grant was sent, or a later renewal.
    pub(super) sent: Timestamp,
    epoch: Epoch,
}

impl LeaseSupply {
    /// Creates a supply, the claim driver's way to it, and the receiver of the epoch keys that are
    /// to be watched.
    pub(super) fn new(
        granter: LeaseGranter,
    ) -> (Self, FurtherLeases, mpsc::UnboundedReceiver<OwnKey>) {
        let (own_keys, further_keys) = mpsc::unbounded_channel();
        let (requests, requested) = mpsc::channel(1);
        let (granted, receives) = mpsc::channel(1);
        let supply = Self {
            requests: requested,
            granted,
            own_keys,
            granter: Arc::new(granter),
        };
        let further = FurtherLeases {
            requests,
            granted: receives,
        };
        (supply, further, further_keys)
    }

    /// Grants a lease after a pause.
    pub(super) fn grant(
        &self,
        pause: Duration,
    ) -> BoxFuture<'static, Result<GrantedLease, RegistryError>> {
        let granter = self.granter.clone();
        async move {
            if !pause.is_zero() {
                granter.registry.environment().sleep(pause).await;
            }
            granter.grant().await
        }
        .boxed()
    }

    /// Hands out a lease, which the keeper renews and the fence depends on.
    pub(super) fn hand_out(&self, granted: GrantedLease) {
        let epoch = granted.epoch;
        self.granter.leases.keep(epoch.lease);
        // Without a receiver the session ends, and revokes the lease.
        let _ = self.own_keys.send(OwnKey {
            key: epoch.key.clone(),
            lease: epoch.lease,
            created: epoch.created,
        });
        let _ = self.granted.try_send(Ok(epoch));
    }

    /// Reports that no lease was granted.
    pub(super) fn refuse(&self, error: RegistryError) {
        let _ = self.granted.try_send(Err(not_granted(error)));
    }
}

/// Grants leases of a session.
pub(super) struct LeaseGranter {
    /// Uses the keeper's connections.
    registry: TimedRegistry,
    identity: Identity,
    ttl: Duration,
    leases: Arc<SessionLeases>,
}

impl LeaseGranter {
    pub(super) fn new(
        registry: &TimedRegistry,
        identity: &Identity,
        ttl: Duration,
        leases: &Arc<SessionLeases>,
    ) -> Self {
        Self {
            registry: registry.clone(),
            identity: identity.clone(),
            ttl,
            leases: leases.clone(),
        }
    }

    /// Grants a lease and puts its epoch key. If that fails, the lease carries no name and is not
    /// renewed, so it expires.
    ///
    /// All deadlines of the session move back to those of a lease that was granted long ago. So if
    /// a slow registry has taken longer than the time between two renewals, renews the lease first.
    async fn grant(&self) -> Result<GrantedLease, RegistryError> {
        let environment = self.registry.environment();
        let mut sent = environment.now();
        let grant = self.registry.exchange(|backend| backend.grant(self.ttl));
        let mut lease = grant.await?;
        self.leases.add(lease, sent, environment.now());
        let epoch = self.put_epoch(lease.id).await?;
        if environment.now() >= sent + keeper::renewal_interval(lease.ttl) {
            sent = environment.now();
            let renew = self.registry.exchange(|backend| backend.renew(lease.id));
            // A longer time than it was granted for is not true.
            lease.ttl = renew.await?.min(lease.ttl);
        }
        Ok(GrantedLease { lease, sent, epoch })
    }

    /// Puts the epoch key of a lease. The lease's id is part of the key, so it is always absent.
    async fn put_epoch(&self, lease: LeaseId) -> Result<Epoch, RegistryError> {
        let Identity { namespace, .. } = &self.identity;
        let key = keys::epoch_of_lease(namespace, self.identity.peer(), lease);
        let value = epoch::new_value(self.registry.environment());
        let puts = vec![(key.clone(), value.clone())];
        let created = match epoch::put_first(&self.registry, lease, puts).await? {
            Some(ClaimOutcome::Won { revision }) => revision,
            Some(ClaimOutcome::Refused { .. }) | None => return Err(RegistryError::no_reply()),
        };
        Ok(Epoch {
            lease,
            key,
            value,
            created,
        })
    }
}

/// Returns the error of claims that wait for a lease. They were not sent, whatever happened to the
/// lease.
fn not_granted(error: RegistryError) -> RegistryError {
    let kind = match error.kind() {
        RegistryErrorKind::Unknown | RegistryErrorKind::LeaseNotFound => {
            RegistryErrorKind::Unavailable
        }
        kind => kind,
    };
    let text = format!("no lease for further names: {error}");
    RegistryError::new(kind, text).caused_by(error)
}
