//! How a session begins in the registry: a lease, and then all keys of the peer at once.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use super::join_error::JoinError;
use super::keeper::try_limit;
use super::lease_end::revoke;
use crate::back_off::{BackOff, BackOffPolicy, RandomShare};
use crate::environment::{Environment, Timestamp};
use crate::registry::{
    Claim, ClaimBatch, ClaimOutcome, Entry, KeyState, KeyWatch, Kind, Lease, LeaseId, Registry,
    RegistryError, RegistryErrorKind, TimedRegistry, keys, write,
};
use crate::revision::Revision;

/// How long to wait beyond the remaining time of a holder's lease: the registry notices an expiry
/// up to a second late.
const GRACE: Duration = Duration::from_secs(2);
/// The lease of a holder that has gone is not renewed. Its time can grow all the same, when etcd
/// changes its leader and starts it anew; so often in one wait it was renewed.
const RENEWALS_OF_THE_LIVING: u32 = 3;
/// The time of a lease is in whole seconds, and its answer is on the way for a while.
const RENEWAL_TOLERANCE: Duration = Duration::from_millis(1_500);
/// The pauses between tries to join, and to watch the holder of the address.
const JOIN_BACK_OFF: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(100),
    Duration::from_secs(1),
    RandomShare::Quarter,
);

/// A session that has begun in the registry.
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

/// Begins a session in the registry.
pub(super) struct Joiner<'a> {
    registry: TimedRegistry,
    identity: &'a Identity,
    ttl: Duration,
}

impl<'a> Joiner<'a> {
    /// Joins as this peer, with leases of this time to live.
    pub(super) fn new(
        environment: &Environment,
        registry: &Registry,
        identity: &'a Identity,
        ttl: Duration,
    ) -> Self {
        Self {
            registry: TimedRegistry::new(environment, registry, try_limit(ttl)),
            identity,
            ttl,
        }
    }

    /// Registers the peer: a lease, and then all its keys in one transaction.
    ///
    /// While another holds the address, waits for at most `bound`; then that is an error. It is one
    /// sooner if the holder renews its lease, or has none. Without a bound, waits without end, and
    /// for the registry as well.
    ///
    /// Once `given_up` is cancelled, or the bound has passed, only the attempt that is on its way is
    /// carried to its end. With a bound, that takes a little more than one time to live at the most:
    /// one exchange each for the lease and for the keys, and then the lease is revoked for one time
    /// to live. Without one it takes as long as the registry needs to confirm that.
    pub(super) async fn join(
        &self,
        bound: Option<Duration>,
        given_up: &CancellationToken,
    ) -> Result<Joined, JoinError> {
        let environment = self.registry.environment();
        let begun = environment.now();
        let patient = bound.is_none();
        let until = bound.map(|bound| begun + bound);
        let is_late = || until.is_some_and(|until| environment.now() >= until);
        let mut back_off = BackOff::new(JOIN_BACK_OFF);
        let mut awaited: Option<AwaitedHolder> = None;
        while !given_up.is_cancelled() {
            match self.once(patient).await {
                Ok(JoinAttempt::Joined(joined)) => return Ok(joined),
                // Request after request was carried out, and no reply came.
                Ok(JoinAttempt::Settled) if !patient && environment.now() >= begun + self.ttl => {
                    return Err(JoinError::Registry(RegistryError::no_reply()));
                }
                Ok(JoinAttempt::Settled) => {}
                Ok(JoinAttempt::Taken(holder)) => {
                    let mut known = match awaited.take() {
                        Some(known) if known.created == holder.created => known,
                        _ => AwaitedHolder::new(&holder),
                    };
                    if !patient && (is_late() || known.is_there_to_stay()) {
                        let left = known.ends.map(|ends| ends.since(environment.now()));
                        return Err(JoinError::AddressInUse { holder, left });
                    }
                    tracing::info!(
                        key = holder.key,
                        "the address is taken: waiting for its holder"
                    );
                    tokio::select! {
                        biased;
                        () = given_up.cancelled() => {}
                        () = self.outwait(&holder, &mut known, until) => {}
                    }
                    awaited = Some(known);
                    continue;
                }
                // Another one than before: to go there is for the user to decide.
                Err(error) if error.is_other_registry() => {
                    return Err(JoinError::Registry(error));
                }
                Err(error)
                    if patient
                        || error.kind() == RegistryErrorKind::LeaseNotFound && !is_late() =>
                {
                    tracing::warn!(%error, "joining the grid is tried again");
                }
                Err(error) => return Err(JoinError::Registry(error)),
            }
            let pause = back_off.next(environment.random_unit());
            tokio::select! {
                biased;
                () = given_up.cancelled() => {}
                () = environment.sleep(pause) => {}
            }
        }
        Err(JoinError::GivenUp)
    }

    async fn once(&self, patient: bool) -> Result<JoinAttempt, RegistryError> {
        let sent = self.registry.environment().now();
        let grant = self.registry.exchange(|backend| backend.grant(self.ttl));
        let lease = grant.await?;
        let attempt = match self.register(lease, sent).await {
            Ok(JoinAttempt::Joined(joined)) => return Ok(JoinAttempt::Joined(joined)),
            // It may have committed, or may still: revoking the lease settles it.
            Err(error) if error.may_have_executed() => Ok(JoinAttempt::Settled),
            attempt => attempt,
        };
        self.give_up(lease.id, patient).await;
        attempt
    }

    /// The first transaction of a session: all its keys or none.
    async fn register(&self, lease: Lease, sent: Timestamp) -> Result<JoinAttempt, RegistryError> {
        let epoch_value = self.registry.environment().random_u64();
        let epoch_value = Bytes::from(format!("{epoch_value:016x}"));
        let puts = self.puts(&epoch_value);
        let keys = puts.iter().map(|(key, _)| key.clone()).collect();
        let batch = ClaimBatch {
            lease: lease.id,
            guard: None,
            claims: vec![Claim { puts }],
        };
        let claim = self.registry.exchange(|backend| backend.claim(&batch));
        Ok(match claim.await?.into_iter().next() {
            Some(ClaimOutcome::Won { revision }) => JoinAttempt::Joined(Joined {
                lease,
                sent,
                revision,
                keys,
                epoch_value,
            }),
            Some(ClaimOutcome::Refused { found, .. }) => {
                let holder = found.into_iter().flatten().next();
                holder.map_or(JoinAttempt::Settled, JoinAttempt::Taken)
            }
            None => JoinAttempt::Settled,
        })
    }

    /// Revokes a lease that nothing is built on; unless patient, for at most one time to live: by
    /// then it has run out by itself.
    pub(super) async fn give_up(&self, lease: LeaseId, patient: bool) {
        let revoked = revoke(&self.registry, lease);
        if patient {
            revoked.await;
        } else {
            let environment = self.registry.environment();
            let _ = environment.timeout(self.ttl, revoked).await;
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
        // Nothing compares it here; it marks the peer as one of ours.
        let nonce = Some(self.registry.environment().random_u64());
        let peer_value = write(&peer_key, address, annotations, nonce);
        let mailbox_value = write(&mailbox_key, address, &[], nonce);
        vec![
            (keys::lock(address), Bytes::new()),
            (keys::epoch(namespace, peer), epoch_value.clone()),
            (peer_key, peer_value),
            (mailbox_key, mailbox_value),
        ]
    }

    /// Ends when the holder's key is deleted, its lease must have run out, or at `until`. Counts
    /// meanwhile how often the lease is renewed.
    async fn outwait(&self, holder: &Entry, known: &mut AwaitedHolder, until: Option<Timestamp>) {
        let environment = self.registry.environment();
        self.ask_after(holder, known).await;
        known.waits += 1;
        // Without an answer: as long as our own lease would live.
        let ends = known.ends.unwrap_or_else(|| environment.now() + self.ttl);
        let end = ends + GRACE;
        let end = until.map_or(end, |until| until.min(end));
        let (registry, key) = (self.registry.clone(), holder.key.clone());
        let mut states = KeyWatch::after(registry, key, JOIN_BACK_OFF, holder.modified);
        let gone = async {
            let is_there = |state: &KeyState| match state {
                KeyState::Present(entry) => entry.created == holder.created,
                KeyState::Absent => false,
            };
            while is_there(&states.next().await) {}
        };
        let mut gone = pin!(gone);
        // Either way the next try finds out.
        while environment.now() < end {
            let next = (environment.now() + self.ttl / 5).min(end);
            tokio::select! {
                biased;
                () = &mut gone => return,
                () = environment.sleep_until(next) => {}
            }
            self.ask_after(holder, known).await;
        }
    }

    /// Asks how much time the holder's lease has left.
    async fn ask_after(&self, holder: &Entry, known: &mut AwaitedHolder) {
        let left = match holder.lease {
            Some(lease) => {
                let asked = self.registry.exchange(|backend| backend.remaining(lease));
                asked.await
            }
            None => Ok(None),
        };
        if let Ok(left) = left {
            known.ends_at(self.registry.environment().now() + left.unwrap_or_default());
        }
    }
}

/// The holder of the address, as far as it was observed.
struct AwaitedHolder {
    created: Revision,
    has_lease: bool,
    /// When its lease runs out unless it is renewed.
    ends: Option<Timestamp>,
    renewals: u32,
    /// How often its lease was waited for.
    waits: u32,
}

impl AwaitedHolder {
    fn new(holder: &Entry) -> Self {
        Self {
            created: holder.created,
            has_lease: holder.lease.is_some(),
            ends: None,
            renewals: 0,
            waits: 0,
        }
    }

    fn ends_at(&mut self, ends: Timestamp) {
        match self.ends {
            Some(before) if ends <= before + RENEWAL_TOLERANCE => {}
            before => {
                self.renewals += u32::from(before.is_some());
                self.ends = Some(ends);
            }
        }
    }

    /// Whether waiting once more for its lease is in vain.
    fn is_there_to_stay(&self) -> bool {
        self.waits > 0 && (!self.has_lease || self.renewals >= RENEWALS_OF_THE_LIVING)
    }
}

enum JoinAttempt {
    Joined(Joined),
    Taken(Entry),
    /// Nothing is put; begin again.
    Settled,
}

#[cfg(test)]
mod tests;
