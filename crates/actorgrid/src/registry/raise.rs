//! Raises of an epoch key, which settle claims in doubt.

use super::entry::Entry;
use super::error::RegistryError;
use crate::revision::Revision;

/// The outcome of raising an epoch key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RaiseOutcome {
    /// The key was put and now has this modification revision.
    Raised(Revision),
    /// Nothing was put: the key has another create revision, or is absent. This is its entry.
    Refused(Option<Entry>),
    /// The registry's storage is full. The outcome of this raise is final: the key has this
    /// modification revision, whether it was raised or not.
    NoSpace {
        modified: Revision,
        error: RegistryError,
    },
}
