//! Ends the leases of a session: revokes them in turn, or waits until they have expired.

use std::collections::VecDeque;
use std::time::Duration;

use super::session_leases::SessionLeases;
use crate::back_off::{BackOff, BackOffPolicy, RandomShare};
use crate::registry::{LeaseId, TimedRegistry};

/// The pauses between attempts.
const LEASE_END_BACK_OFF: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(100),
    Duration::from_secs(1),
    RandomShare::Quarter,
);
/// The bounds on the pause between two queries for a lease that is left to expire. It is polled
/// because no event reports that a lease has ended early.
const POLL_MIN: Duration = Duration::from_millis(100);
const POLL_MAX: Duration = Duration::from_secs(1);

/// How long the end of a session has for its further leases before it revokes the first one: half
/// of the time in which a leader is replaced whose peer shuts down. On a busy machine, etcd takes
/// 10 to 25 ms to revoke a lease with a thousand keys, so this is enough for twenty at least.
const HEAD_START: Duration = Duration::from_millis(500);

/// Revokes the leases of a session, one after the other, so that the registry answers others
/// between them. Retries like [`revoke`]; the caller bounds the time.
///
/// The first lease comes last, so that a peer that takes over the address finds the names free.
/// But it waits for the others only for the head start: a registry that is slow with those must
/// not keep the leader and the peer's own registration. When that time is over, a revocation can be
/// under way, and the registry has those two at the same time.
pub(super) async fn revoke_all(registry: &TimedRegistry, leases: &SessionLeases) {
    let mut further = VecDeque::from(leases.further());
    let head_start = revoke_in_turn(registry, &mut further);
    let environment = registry.environment();
    let _ = environment.timeout(HEAD_START, head_start).await;
    revoke(registry, leases.first()).await;
    revoke_in_turn(registry, &mut further).await;
}

/// Revokes leases, and removes each that is gone.
async fn revoke_in_turn(registry: &TimedRegistry, leases: &mut VecDeque<LeaseId>) {
    while let Some(&lease) = leases.front() {
        revoke(registry, lease).await;
        leases.pop_front();
    }
}

/// Waits until all leases of a session have expired.
pub(super) async fn run_all_out(registry: &TimedRegistry, leases: &SessionLeases) {
    run_out(registry, leases.first()).await;
    // Read only now: a keeper that was not waited for may have added one at its end.
    for lease in leases.further() {
        run_out(registry, lease).await;
    }
}

/// Revokes a lease, and retries until the registry confirms that it is gone or turns out to be
/// another registry. The caller bounds the time; a lease that is not revoked expires.
pub(super) async fn revoke(registry: &TimedRegistry, lease: LeaseId) {
    let environment = registry.environment();
    let mut back_off = BackOff::new(LEASE_END_BACK_OFF);
    while let Err(error) = registry.exchange(|backend| backend.revoke(lease)).await {
        if error.is_other_registry() {
            return;
        }
        tracing::warn!(%error, "revoking the lease failed, retrying");
        let pause = back_off.next(environment.random_unit());
        environment.sleep(pause).await;
    }
}

/// Waits until a lease has expired, or the registry turns out to be another one.
async fn run_out(registry: &TimedRegistry, lease: LeaseId) {
    let environment = registry.environment();
    let mut back_off = BackOff::new(LEASE_END_BACK_OFF);
    loop {
        let pause = match registry.exchange(|backend| backend.remaining(lease)).await {
            Ok(None) => return,
            Ok(Some(left)) => left.clamp(POLL_MIN, POLL_MAX),
            Err(error) if error.is_other_registry() => return,
            Err(_) => back_off.next(environment.random_unit()),
        };
        environment.sleep(pause).await;
    }
}
