//! The inputs of the claim scheduler: orders, and the results of exchanges.

use bytes::Bytes;

use super::claim_exchange::ExchangeId;
use super::claim_place::ClaimPlace;
use super::claimed_names::ClaimedNames;
use crate::registry::{ClaimOutcome, Entry, LeaseId, RaiseOutcome, RegistryError};
use crate::revision::Revision;

/// The maximum number of names in one claim: an actor and its mailbox.
pub(super) const MAX_NAMES: usize = 2;

/// Names to claim together, at most [`MAX_NAMES`]. `W` waits for the answer; `R` reserves the names
/// on this peer until they are known to be free.
///
/// No two unsettled orders contain the same key: the reservations ensure that.
#[derive(Debug)]
pub(super) struct ClaimOrder<W, R> {
    /// Part of every value that the order puts, so that a read can tell our registration from
    /// others.
    pub(super) nonce: u64,
    pub(super) puts: Vec<(String, Bytes)>,
    pub(super) place: ClaimPlace,
    // Must stay before `waiter`: fields are dropped in order of declaration, and an order may be
    // dropped without an answer. By the time the waiter learns of that, the names must be free on
    // this peer.
    pub(super) reservation: R,
    pub(super) waiter: W,
}

impl<W, R> ClaimOrder<W, R> {
    /// The number of names to claim.
    pub(super) fn names(&self) -> usize {
        self.puts.len()
    }

    /// Converts the order so that its waiter can be answered before the order is decided.
    pub(super) fn opened(self) -> ClaimOrder<Option<W>, R> {
        ClaimOrder {
            nonce: self.nonce,
            puts: self.puts,
            place: self.place,
            reservation: self.reservation,
            waiter: Some(self.waiter),
        }
    }
}

/// An event of the claim scheduler.
#[derive(Debug)]
pub(super) enum ClaimEvent<W, R> {
    /// Claims that arrived together and share batches.
    Ordered(Vec<ClaimOrder<W, R>>),
    /// The holder of names no longer needs them.
    GivenUp(ClaimedNames<R>),
    /// A further lease was granted, with an epoch key that was created at this revision.
    LeaseAdded {
        lease: LeaseId,
        epoch_created: Revision,
    },
    /// No further lease was granted.
    LeaseRefused(RegistryError),
    /// A batch of claims was answered or failed.
    Claimed {
        id: ExchangeId,
        result: Result<Vec<ClaimOutcome>, RegistryError>,
    },
    /// A raise of a lease's epoch was answered or failed.
    Raised {
        lease: LeaseId,
        result: Result<RaiseOutcome, RegistryError>,
    },
    /// A read of keys was answered, in the order of the keys, or failed.
    Read {
        id: ExchangeId,
        result: Result<Vec<Option<Entry>>, RegistryError>,
    },
    /// A key was released (or was no longer ours), or its release failed.
    Released {
        id: ExchangeId,
        result: Result<(), RegistryError>,
    },
    /// The session is over: all open orders must be answered, and all names freed.
    Ended,
}
