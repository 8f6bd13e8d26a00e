//! Begins a session in the registry: acquires a lease, and then puts all keys of the peer at once.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::epoch;
use super::identity::Identity;
use super::join_error::JoinError;
use super::keeper::try_limit;
use super::lease_end::revoke;
use crate::back_off::{BackOff, BackOffPolicy, RandomShare};
use crate::environment::{Environment, Timestamp};
use crate::registry::{
    ClaimOutcome, Entry, KeyState, KeyWatch, Kind, Lease, LeaseId, Registry, RegistryError,
    RegistryErrorKind, TimedRegistry, keys, write,
};
use crate::revision::Revision;

/// How long to wait after a holder's lease should have expired: the registry notices an expiry up
/// to a second late.
const EXPIRY_GRACE: Duration = Duration::from_secs(2);
/// After this many apparent renewals during one wait, the holder counts as alive. The lease of a
/// dead holder is never renewed, but its remaining time can still grow: a new etcd leader restarts
/// the time of every lease.
const LIVE_HOLDER_RENEWALS: u32 = 3;
/// An expiry time that moves by no more than this is no renewal: the registry reports the remaining
/// time in whole seconds, and its reply takes time to arrive.
const RENEWAL_TOLERANCE: Duration = Duration::from_millis(1_500);
/// The pauses between attempts to join, and to watch the holder of the address.
const JOIN_BACK_OFF: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(100),
    Duration::from_secs(1),
    RandomShare::Quarter,
);

/// A session that has joined the registry.
pub(super) struct Joined {
    pub(super) lease: Lease,
    /// When the grant of the lease was sent.
    pub(super) sent: Timestamp,
    /// The revision at which all keys of the session were created.
    pub(super) revision: Revision,
    /// The keys of the lock, the epoch, the peer and the peer's mailbox.
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
    /// Creates a joiner for this peer, with leases of this time to live.
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

    /// Registers the peer: acquires a lease, and then puts all keys in one transaction.
    ///
    /// While another peer holds the address, waits for at most `bound` and then fails. Fails sooner
    /// if the holder renews its lease, or has none. Without a bound, waits indefinitely, for the
    /// registry as well.
    ///
    /// Once `given_up` is cancelled, or the bound has passed, only completes the attempt that is
    /// under way. With a bound, that takes at most a little more than one time to live: one
    /// exchange each for the lease and for the keys, and then at most one time to live for revoking
    /// the lease. Without a bound, it takes as long as the registry needs to confirm the
    /// revocation.
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
                // The registry carried out request after request, but no reply arrived.
                Ok(JoinAttempt::Settled) if !patient && environment.now() >= begun + self.ttl => {
                    return Err(JoinError::Registry(RegistryError::no_reply()));
                }
                Ok(JoinAttempt::Settled) => {}
                Ok(JoinAttempt::Taken(holder)) => {
                    let mut known = match awaited.take() {
                        Some(known) if known.created == holder.created => known,
                        _ => AwaitedHolder::new(&holder),
                    };
                    if !patient && (is_late() || known.will_stay()) {
                        let left = known.ends.map(|ends| ends.since(environment.now()));
                        return Err(JoinError::AddressInUse { holder, left });
                    }
                    tracing::info!(
                        key = holder.key,
                        "the address is taken, waiting for its holder to leave"
                    );
                    tokio::select! {
                        biased;
                        () = given_up.cancelled() => {}
                        () = self.wait_for_end_of(&holder, &mut known, until) => {}
                    }
                    awaited = Some(known);
                    continue;
                }
                // Only the user can decide to follow another registry.
                Err(error) if error.is_other_registry() => {
                    return Err(JoinError::Registry(error));
                }
                Err(error)
                    if patient
                        || error.kind() == RegistryErrorKind::LeaseNotFound && !is_late() =>
                {
                    tracing::warn!(%error, "joining the grid failed, retrying");
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
            // The claim may have committed, or may still commit: revoking the lease settles it.
            Err(error) if error.may_have_executed() => Ok(JoinAttempt::Settled),
            attempt => attempt,
        };
        self.abandon(lease.id, patient).await;
        attempt
    }

    /// Runs the first transaction of a session, which puts all its keys or none.
    async fn register(&self, lease: Lease, sent: Timestamp) -> Result<JoinAttempt, RegistryError> {
        let epoch_value = epoch::new_value(self.registry.environment());
        let puts = self.puts(&epoch_value);
        let keys = puts.iter().map(|(key, _)| key.clone()).collect();
        Ok(
            match epoch::put_first(&self.registry, lease.id, puts).await? {
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
            },
        )
    }

    /// Revokes the lease of a session that has not begun. Unless `patient`, spends at most one time
    /// to live on it: by then the lease has expired.
    pub(super) async fn abandon(&self, lease: LeaseId, patient: bool) {
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
            link,
        } = self.identity;
        let peer = address.peer_name();
        let peer_key = keys::of(namespace, Kind::Peer, peer);
        let mailbox_key = keys::of(namespace, Kind::Mailbox, peer);
        // Nothing compares this nonce here; it marks the peer as one of this library.
        let nonce = Some(self.registry.environment().random_u64());
        let peer_value = write(&peer_key, address, annotations, nonce, *link);
        let mailbox_value = write(&mailbox_key, address, &[], nonce, *link);
        vec![
            (keys::lock(address), Bytes::new()),
            (keys::epoch(namespace, peer), epoch_value.clone()),
            (peer_key, peer_value),
            (mailbox_key, mailbox_value),
        ]
    }

    /// Waits until the holder's key is deleted, its lease must have expired, or `until` has passed.
    /// Meanwhile, counts how often the lease is renewed.
    async fn wait_for_end_of(
        &self,
        holder: &Entry,
        known: &mut AwaitedHolder,
        until: Option<Timestamp>,
    ) {
        let environment = self.registry.environment();
        self.query_lease(holder, known).await;
        known.waits += 1;
        // Without a reply, wait for as long as our own lease would live.
        let ends = known.ends.unwrap_or_else(|| environment.now() + self.ttl);
        let end = ends + EXPIRY_GRACE;
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
        // However the wait ends, the next attempt finds out whether the address is free.
        while environment.now() < end {
            let next = (environment.now() + self.ttl / 5).min(end);
            tokio::select! {
                biased;
                () = &mut gone => return,
                () = environment.sleep_until(next) => {}
            }
            self.query_lease(holder, known).await;
        }
    }

    /// Queries how much time the holder's lease has left.
    async fn query_lease(&self, holder: &Entry, known: &mut AwaitedHolder) {
        let left = match holder.lease {
            Some(lease) => {
                let asked = self.registry.exchange(|backend| backend.remaining(lease));
                asked.await
            }
            None => Ok(None),
        };
        if let Ok(left) = left {
            known.note_expiry(self.registry.environment().now() + left.unwrap_or_default());
        }
    }
}

/// The observed state of the holder of the address.
struct AwaitedHolder {
    created: Revision,
    has_lease: bool,
    /// When the holder's lease expires unless it is renewed.
    ends: Option<Timestamp>,
    renewals: u32,
    /// How many times the joiner has waited for its lease to expire.
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

    fn note_expiry(&mut self, ends: Timestamp) {
        match self.ends {
            Some(before) if ends <= before + RENEWAL_TOLERANCE => {}
            before => {
                self.renewals += u32::from(before.is_some());
                self.ends = Some(ends);
            }
        }
    }

    /// Whether the holder keeps the address, so that waiting once more is pointless: after at least
    /// one wait, its lease is still being renewed, or it has none.
    fn will_stay(&self) -> bool {
        self.waits > 0 && (!self.has_lease || self.renewals >= LIVE_HOLDER_RENEWALS)
    }
}

enum JoinAttempt {
    Joined(Joined),
    Taken(Entry),
    /// Nothing is registered, so another attempt may begin.
    Settled,
}

#[cfg(test)]
mod tests;
