//! Keys with their values, as a coordination service stores them.

use bytes::Bytes;

use super::lease::LeaseId;
use crate::revision::Revision;

/// A key with its value and metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Bytes,
    /// The revision at which the key was created.
    pub(crate) created: Revision,
    /// The revision of the key's last change.
    pub(crate) modified: Revision,
    pub(crate) lease: Option<LeaseId>,
}

/// All entries of a selection at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    pub(crate) revision: Revision,
}
