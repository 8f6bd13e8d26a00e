//! Claims: keys that are put together, all or none, and only if all are absent.

use bytes::Bytes;

use super::entry::Entry;
use super::lease::LeaseId;
use crate::revision::Revision;

/// Keys that are put together under one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Keys that must be absent, and the values to put.
    pub(crate) puts: Vec<(String, Bytes)>,
}

/// Claims under one lease and one guard. No key may occur twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimBatch {
    pub(crate) lease: LeaseId,
    /// The condition for every claim in the batch; `None` for a session's first claim.
    pub(crate) guard: Option<Guard>,
    pub(crate) claims: Vec<Claim>,
}

/// A condition: the epoch key must exist with this modification revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guard {
    pub(crate) epoch: String,
    pub(crate) modified: Revision,
}

/// The outcome of one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimOutcome {
    /// All keys of the claim were put, and created at this revision.
    Won { revision: Revision },
    /// Nothing was put. These are the entries of its keys and of the epoch key, read in the same
    /// transaction.
    Refused {
        found: Vec<Option<Entry>>,
        epoch: Option<Entry>,
    },
}
