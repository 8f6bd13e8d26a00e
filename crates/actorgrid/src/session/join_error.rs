//! The error of a session that did not begin.

use std::time::Duration;

use crate::registry::{Entry, RegistryError};

/// The reason a session did not begin. No key is left behind; a lease whose grant was not answered
/// expires without keys.
#[derive(Debug, Clone)]
pub(crate) enum JoinError {
    /// Another peer holds the address or the peer's name.
    AddressInUse {
        holder: Entry,
        /// The remaining time of the holder's lease when it was last queried.
        left: Option<Duration>,
    },
    Registry(RegistryError),
    /// The caller cancelled the join.
    GivenUp,
}
