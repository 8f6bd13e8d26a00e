//! The error of a claim that was not won.

use crate::registry::{Entry, RegistryError};

/// The reason a claim was not won. No name stays registered permanently in any of these cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Another registration holds one of the names.
    Taken(Entry),
    /// The session is over.
    Fenced,
    /// The registry rejected the claim.
    Registry(RegistryError),
    /// It is not known whether the claim was won, and the registry has no space for the write that
    /// would settle it. The names stay reserved on this peer until the registry has space again;
    /// then they are free, or are released.
    InDoubt(RegistryError),
}
