//! Why a claim was not won.

use crate::registry::{Entry, RegistryError};

/// Why a claim was not won. In no case is a name left behind for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Another registration holds one of the names.
    Taken(Entry),
    /// The session is over.
    Fenced,
    /// The registry rejected the claim.
    Registry(RegistryError),
    /// It is not known whether the claim was won, and the registry has no space to find out. The
    /// names stay reserved at this peer until it has; then they are free, or are released.
    InDoubt(RegistryError),
}
