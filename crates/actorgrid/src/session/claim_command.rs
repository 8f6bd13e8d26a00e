//! The outputs of the claim scheduler.

use std::time::Duration;

use super::claim_error::ClaimError;
use super::claim_exchange::ClaimExchange;
use super::claimed_names::ClaimedNames;
use super::fence_reason::FenceReason;

/// A command of the claim scheduler.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClaimCommand<W, R> {
    /// Send a request to the registry after a pause. Exactly one event with its result must follow,
    /// unless the session ends first.
    Send {
        exchange: ClaimExchange,
        pause: Duration,
    },
    /// Request a further lease after a pause. Exactly one event with the outcome must follow,
    /// unless the session ends first.
    RequestLease { pause: Duration },
    /// The claim is won: hand the names over to the waiter.
    Grant { waiter: W, names: ClaimedNames<R> },
    /// The claim is lost: free the reservation, and then answer the waiter.
    Refuse {
        waiter: W,
        reservation: R,
        error: ClaimError,
    },
    /// The claim cannot be decided yet: answer the waiter. The names stay reserved.
    Doubt { waiter: W, error: ClaimError },
    /// The names are released, or nobody waits for them any more: free their reservation.
    Free { reservation: R },
    /// The session is over.
    Fence(FenceReason),
}
