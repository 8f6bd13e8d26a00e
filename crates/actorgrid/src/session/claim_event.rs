//! Everything that the claim scheduler learns.

use bytes::Bytes;

use super::claim_exchange::ExchangeId;
use super::claimed_names::ClaimedNames;
use crate::registry::{ClaimOutcome, Entry, LeaseId, RaiseOutcome, RegistryError};

/// The most names of one claim: an actor and its mailbox.
pub(super) const MAX_NAMES: usize = 2;

/// Names to claim together, at most [`MAX_NAMES`]. `W` waits for the answer; `R` reserves the names
/// at this peer until they are known to be free.
///
/// No two orders that are not settled name the same key: the reservations see to that.
#[derive(Debug)]
pub(super) struct ClaimOrder<W, R> {
    /// Every value that is put carries it, so that a read can tell our registration from others.
    pub(super) nonce: u64,
    pub(super) puts: Vec<(String, Bytes)>,
    // Fields are dropped in their order, and an order may be dropped without an answer: when the
    // waiter learns of that, the names must be free at this peer already.
    pub(super) reservation: R,
    pub(super) waiter: W,
}

impl<W, R> ClaimOrder<W, R> {
    /// How many names are claimed.
    pub(super) fn names(&self) -> usize {
        self.puts.len()
    }

    /// The same order, whose waiter can be answered before the order is decided.
    pub(super) fn opened(self) -> ClaimOrder<Option<W>, R> {
        ClaimOrder {
            nonce: self.nonce,
            puts: self.puts,
            reservation: self.reservation,
            waiter: Some(self.waiter),
        }
    }
}

/// An event of the claim scheduler.
#[derive(Debug)]
pub(super) enum ClaimEvent<W, R> {
    /// Claims that came together: they share batches.
    Ordered(Vec<ClaimOrder<W, R>>),
    /// The holder of names gives them up.
    GivenUp(ClaimedNames<R>),
    /// A batch of claims was answered, or failed.
    Claimed {
        id: ExchangeId,
        result: Result<Vec<ClaimOutcome>, RegistryError>,
    },
    /// A raise of a lease's epoch was answered, or failed.
    Raised {
        lease: LeaseId,
        result: Result<RaiseOutcome, RegistryError>,
    },
    /// A read of keys was answered in their order, or failed.
    Read {
        id: ExchangeId,
        result: Result<Vec<Option<Entry>>, RegistryError>,
    },
    /// A key is released (or was not ours any more), or that failed.
    Released {
        id: ExchangeId,
        result: Result<(), RegistryError>,
    },
    /// The session is over: all that is left is answered and freed.
    Ended,
}
