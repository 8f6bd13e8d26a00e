//! Names that a claim has won.

use crate::registry::LeaseId;
use crate::revision::Revision;

/// Names that a claim has won. The claim scheduler hands them out, and takes them back to release
/// them. This type cannot be cloned, so no name is released twice.
///
/// The reservation `R` keeps the names reserved on this peer for as long as they may be registered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClaimedNames<R> {
    pub(super) lease: LeaseId,
    /// The revision at which all keys were created.
    pub(super) revision: Revision,
    pub(super) keys: Vec<String>,
    pub(super) reservation: R,
}
