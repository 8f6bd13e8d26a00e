//! The requests to the registry that claims and releases need.

use crate::registry::{Claim, LeaseId};
use crate::revision::Revision;

/// The number of an exchange, unique in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ExchangeId(pub(super) u64);

/// A request to the registry for claiming or releasing names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClaimExchange {
    /// Claim names under a lease, guarded by the modification revision of its epoch key.
    Claim {
        id: ExchangeId,
        lease: LeaseId,
        guard: Revision,
        claims: Vec<Claim>,
    },
    /// Raise the epoch of a lease.
    Raise { lease: LeaseId },
    /// Read keys.
    Read { id: ExchangeId, keys: Vec<String> },
    /// Delete a key if it was created at this revision.
    Release {
        id: ExchangeId,
        key: String,
        revision: Revision,
    },
}
