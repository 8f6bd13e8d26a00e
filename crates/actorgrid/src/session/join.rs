//! How a session begins and ends in the registry.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::Identity;
use super::exchange::bounded;
use super::keeper::try_limit;
use crate::environment::{Environment, Timestamp};
use crate::registry::{
    Change, Claim, ClaimBatch, ClaimOutcome, Entry, Kind, Lease, LeaseId, Registry, RegistryError,
    RegistryErrorKind, Selector, keys, write,
};
use crate::revision::Revision;

/// What is waited for beyond the remaining time of a holder's lease: the registry notices an
/// expiry up to a second late.
const GRACE: Duration = Duration::from_secs(2);
/// The pauses between tries that the registry refused.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Why a session did not begin. Nothing is left behind.
#[derive(Debug, Clone)]
pub(crate) enum JoinError {
    /// Another peer holds the address, or the peer's name.
    AddressInUse {
        holder: Entry,
    },
    Registry(RegistryError),
}

/// What the first transaction of a session put.
pub(super) struct Joined {
    pub(super) lease: Lease,
    /// When the grant of the lease was sent.
    pub(super) sent: Timestamp,
    /// The revision at which all its keys were created.
    pub(super) revision: Revision,
    /// Lock, epoch, peer and peer mailbox.
    pub(super) keys: Vec<String>,
    pub(super) epoch_value: Bytes,
}

/// What joins and leaves.
pub(super) struct Joiner<'a> {
    pub(super) environment: &'a Environment,
    pub(super) registry: &'a Registry,
    pub(super) identity: &'a Identity,
    pub(super) ttl: Duration,
}

impl Joiner<'_> {
    /// Registers the peer: a lease, and then all its keys in one transaction.
    ///
    /// While another holds the address, waits until its lease must have run out; then that is an
    /// error, unless `patient`: then it waits without end, and for the registry as well.
    pub(super) async fn join(&self, patient: bool) -> Result<Joined, JoinError> {
        let begun = self.environment.now();
        let mut pauses = Pauses::new(self.environment);
        let mut awaited: Option<Revision> = None;
        loop {
            match self.once(patient).await {
                Ok(Attempt::Joined(joined)) => return Ok(joined),
                // The registry took the request and did not say so, again and again.
                Ok(Attempt::Settled) if !patient && self.environment.now() >= begun + self.ttl => {
                    return Err(JoinError::Registry(RegistryError::no_reply()));
                }
                Ok(Attempt::Settled) => pauses.pause().await,
                Ok(Attempt::Taken(holder)) => {
                    if awaited == Some(holder.created) && !patient {
                        return Err(JoinError::AddressInUse { holder });
                    }
                    tracing::info!(
                        key = holder.key,
                        "the address is taken: waiting for its holder"
                    );
                    awaited = Some(holder.created);
                    self.outwait(&holder).await;
                }
                Err(error) if patient || error.kind() == RegistryErrorKind::LeaseNotFound => {
                    tracing::warn!(%error, "joining the grid is tried again");
                    pauses.pause().await;
                }
                Err(error) => return Err(JoinError::Registry(error)),
            }
        }
    }

    async fn once(&self, patient: bool) -> Result<Attempt, RegistryError> {
        let limit = try_limit(self.ttl);
        let sent = self.environment.now();
        let grant = self.registry.backend().grant(self.ttl);
        let lease = bounded(self.environment, limit, grant).await?;

        let epoch_value = Bytes::from(format!("{:016x}", self.environment.random_u64()));
        let puts = self.puts(&epoch_value);
        let keys: Vec<String> = puts.iter().map(|(key, _)| key.clone()).collect();
        let batch = ClaimBatch {
            lease: lease.id,
            guard: None,
            claims: vec![Claim { puts }],
        };
        let claim = self.registry.backend().claim(&batch);
        let result = match bounded(self.environment, limit, claim).await {
            Ok(outcomes) => match outcomes.into_iter().next() {
                Some(ClaimOutcome::Won { revision }) => {
                    return Ok(Attempt::Joined(Joined {
                        lease,
                        sent,
                        revision,
                        keys,
                        epoch_value,
                    }));
                }
                Some(ClaimOutcome::Refused { found, .. }) => Ok(found
                    .into_iter()
                    .flatten()
                    .next()
                    .map_or(Attempt::Settled, Attempt::Taken)),
                None => Ok(Attempt::Settled),
            },
            // It may have committed, or may still: revoking the lease settles it.
            Err(error) if error.may_have_executed() => Ok(Attempt::Settled),
            Err(error) => Err(error),
        };
        self.give_up(lease.id, patient).await;
        result
    }

    /// Revokes a lease that nothing is built on. Who is not patient does so for one time to live:
    /// then it has run out by itself.
    pub(super) async fn give_up(&self, lease: LeaseId, patient: bool) {
        let revoked = revoke(self.environment, self.registry, try_limit(self.ttl), lease);
        if patient {
            revoked.await;
        } else {
            let _ = self.environment.timeout(self.ttl, revoked).await;
        }
    }

    fn puts(&self, epoch_value: &Bytes) -> Vec<(String, Bytes)> {
        let Identity {
            namespace,
            address,
            annotations,
        } = self.identity;
        let peer = address.peer_name();
        let peer_key = keys::of(namespace, Kind::Peer, peer);
        let mailbox_key = keys::of(namespace, Kind::Mailbox, peer);
        // Nobody compares them here; they tell that the peer is one of ours.
        let nonce = Some(self.environment.random_u64());
        let peer_value = write(&peer_key, address, annotations, nonce);
        let mailbox_value = write(&mailbox_key, address, &[], nonce);
        vec![
            (keys::lock(address), Bytes::new()),
            (keys::epoch(namespace, peer), epoch_value.clone()),
            (peer_key, peer_value),
            (mailbox_key, mailbox_value),
        ]
    }

    /// Ends when the holder's key is deleted, or its lease must have run out.
    async fn outwait(&self, holder: &Entry) {
        let limit = try_limit(self.ttl);
        let backend = self.registry.backend();
        let remaining = match holder.lease {
            Some(lease) => bounded(self.environment, limit, backend.remaining(lease)).await,
            None => Ok(None),
        };
        // Without an answer: as long as our own lease would live.
        let remaining = remaining.map_or(self.ttl, Option::unwrap_or_default);
        let selector = Selector::Key(holder.key.clone());
        let deleted = async {
            let watch = backend.watch(&selector, holder.modified.next());
            let Ok(mut changes) = bounded(self.environment, limit, watch).await else {
                return std::future::pending().await;
            };
            while let Some(Ok(batch)) = changes.next().await {
                if batch
                    .iter()
                    .any(|change| matches!(change, Change::Deleted { .. }))
                {
                    return;
                }
            }
            std::future::pending().await
        };
        // Either way the next try finds out.
        let _ = self.environment.timeout(remaining + GRACE, deleted).await;
    }
}

enum Attempt {
    Joined(Joined),
    Taken(Entry),
    /// Nothing is put; begin again.
    Settled,
}

/// Growing pauses with jitter.
struct Pauses<'a> {
    environment: &'a Environment,
    next: Duration,
}

impl<'a> Pauses<'a> {
    fn new(environment: &'a Environment) -> Self {
        Self {
            environment,
            next: FIRST_PAUSE,
        }
    }

    async fn pause(&mut self) {
        let jitter = 0.75 + self.environment.random_unit() / 4.0;
        self.environment.sleep(self.next.mul_f64(jitter)).await;
        self.next = (self.next * 2).min(MAX_PAUSE);
    }
}

/// Revokes a lease until the registry says that it is gone. The caller bounds the time; what is
/// not revoked runs out by itself.
pub(super) async fn revoke(
    environment: &Environment,
    registry: &Registry,
    limit: Duration,
    lease: LeaseId,
) {
    let mut pauses = Pauses::new(environment);
    while let Err(error) = bounded(environment, limit, registry.backend().revoke(lease)).await {
        tracing::warn!(%error, "revoking the lease is tried again");
        pauses.pause().await;
    }
}

/// Waits until a lease has run out by itself.
pub(super) async fn run_out(
    environment: &Environment,
    registry: &Registry,
    limit: Duration,
    lease: LeaseId,
) {
    let mut pauses = Pauses::new(environment);
    loop {
        match bounded(environment, limit, registry.backend().remaining(lease)).await {
            Ok(None) => return,
            // Asked again soon: nothing tells when a lease that is not ours to revoke ends early.
            Ok(Some(left)) => environment.sleep(left.clamp(FIRST_PAUSE, MAX_PAUSE)).await,
            Err(_) => pauses.pause().await,
        }
    }
}
