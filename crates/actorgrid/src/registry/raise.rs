//! Raises of an epoch key, which settle claims in doubt.

use super::entry::Entry;
use super::error::RegistryError;
use crate::revision::Revision;

/// The outcome of raising an epoch key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RaiseOutcome {
    /// The key has this modification revision now.
    Raised(Revision),
    /// Nothing is put: the key has another create revision, or is absent. It holds this.
    Refused(Option<Entry>),
    /// The registry's storage is full. It has answered this raise for good: the key has this
    /// modification revision, whether it was raised or not.
    NoSpace {
        modified: Revision,
        error: RegistryError,
    },
}
