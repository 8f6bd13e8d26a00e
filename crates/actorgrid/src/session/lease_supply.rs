//! Grants further leases to a session that has begun.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::epoch::Epoch;
use super::identity::Identity;
use super::keeper;
use super::own_keys::OwnKey;
use super::session_leases::SessionLeases;
use crate::environment::Timestamp;
use crate::registry::{
    Claim, ClaimBatch, ClaimOutcome, Lease, LeaseId, RegistryError, RegistryErrorKind,
    TimedRegistry, keys,
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
    /// When the grant was sent.
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

    /// Grants a lease and puts its epoch key. If that fails, or takes so long that the lease could
    /// expire soon, tries once to revoke the lease. It carries no name, and is not renewed.
    async fn grant(&self) -> Result<GrantedLease, RegistryError> {
        let environment = self.registry.environment();
        let sent = environment.now();
        let grant = self.registry.exchange(|backend| backend.grant(self.ttl));
        let lease = grant.await?;
        self.leases.add(lease.id);
        let failed = match self.put_epoch(lease.id).await {
            Ok(_) if environment.now() >= keeper::deadlines(sent, lease.ttl).0 => {
                RegistryError::no_reply()
            }
            Ok(epoch) => return Ok(GrantedLease { lease, sent, epoch }),
            Err(error) => error,
        };
        self.revoke(lease.id).await;
        Err(failed)
    }

    /// Puts the epoch key of a lease. The lease's id is part of the key, so it is always absent.
    async fn put_epoch(&self, lease: LeaseId) -> Result<Epoch, RegistryError> {
        let Identity { namespace, .. } = &self.identity;
        let key = keys::epoch_of_lease(namespace, self.identity.peer(), lease);
        let value = self.registry.environment().random_u64();
        let value = Bytes::from(format!("{value:016x}"));
        let batch = ClaimBatch {
            lease,
            guard: None,
            claims: vec![Claim {
                puts: vec![(key.clone(), value.clone())],
            }],
        };
        let put = self.registry.exchange(|backend| backend.claim(&batch));
        let created = match put.await?.into_iter().next() {
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

    async fn revoke(&self, lease: LeaseId) {
        let revoke = self.registry.exchange(|backend| backend.revoke(lease));
        if revoke.await.is_ok() {
            self.leases.remove(lease);
        }
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
