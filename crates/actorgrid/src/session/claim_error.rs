//! Why a claim was not won.

use crate::registry::{Entry, RegistryError};

/// Why a claim was not won. In no case is a name left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Another registration holds one of the names.
    Taken(Entry),
    /// The session is over.
    Fenced,
    /// The registry rejected the claim.
    Registry(RegistryError),
}
