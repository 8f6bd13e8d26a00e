//! The holder of an address that a server cannot have.

use std::fmt;
use std::time::Duration;

use crate::token::Token;

/// The registration that holds the address of a server that did not start: see
/// [`ServerError::holder`](crate::ServerError::holder).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressHolder {
    /// The key in the registry.
    pub key: String,
    /// The token of the registration. It tells the sessions of one peer apart.
    pub token: Token,
    /// The lease of the registration, as the registry numbers it. `None` if it has none: then it
    /// stays until an operator deletes the key.
    pub lease: Option<i64>,
    /// The time that the lease had left when it was last asked for. A holder that lives renews it.
    pub time_left: Option<Duration>,
}

impl fmt::Display for AddressHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            token,
            lease,
            time_left,
        } = self;
        write!(f, "key {key}, token {token}, ")?;
        match (lease, time_left) {
            (None, _) => f.write_str("without a lease"),
            (Some(lease), None) => write!(f, "lease {lease:x}"),
            (Some(lease), Some(left)) => {
                write!(f, "lease {lease:x} with {} s left", left.as_secs())
            }
        }
    }
}
