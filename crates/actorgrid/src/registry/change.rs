//! Changes of keys, as watches report them.

use super::entry::Entry;
use crate::revision::Revision;

/// One change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Put(Entry),
    Deleted { key: String, revision: Revision },
}

impl Change {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Deleted { key, .. } => key,
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.modified,
            Self::Deleted { revision, .. } => *revision,
        }
    }
}
