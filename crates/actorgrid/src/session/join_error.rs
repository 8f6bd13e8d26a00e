//! Why a session did not begin.

use std::time::Duration;

use crate::registry::{Entry, RegistryError};

/// Why a session did not begin. No key is left behind; a lease whose grant was not answered runs
/// out without one.
#[derive(Debug, Clone)]
pub(crate) enum JoinError {
    /// Another peer holds the address, or the peer's name.
    AddressInUse {
        holder: Entry,
        /// The time that the holder's lease had left when it was last asked for.
        left: Option<Duration>,
    },
    Registry(RegistryError),
    /// The caller has given the join up.
    GivenUp,
}
