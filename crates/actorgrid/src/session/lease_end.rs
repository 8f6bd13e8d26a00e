//! Ends the lease of a session: revokes it, or waits until it has expired.

use std::time::Duration;

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
pub(super) async fn run_out(registry: &TimedRegistry, lease: LeaseId) {
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
