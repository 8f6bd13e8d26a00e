//! Claims: keys that are put all or none, and only where they are free.

use bytes::Bytes;

use super::entry::Entry;
use super::lease::LeaseId;
use crate::revision::Revision;

/// Keys that come and go together under one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Keys that must be absent, and the values to put.
    pub(crate) puts: Vec<(String, Bytes)>,
}

/// Claims under one lease and one guard. No key is in it twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimBatch {
    pub(crate) lease: LeaseId,
    /// The condition of every claim in the batch; absent for a session's first claim.
    pub(crate) guard: Option<Guard>,
    pub(crate) claims: Vec<Claim>,
}

/// The epoch key must be there with this modification revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guard {
    pub(crate) epoch: String,
    pub(crate) modified: Revision,
}

/// The outcome of one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimOutcome {
    /// All its keys are put, created at this revision.
    Won { revision: Revision },
    /// Nothing is put. Its keys and the epoch key hold this, read in the same transaction.
    Refused {
        found: Vec<Option<Entry>>,
        epoch: Option<Entry>,
    },
}
