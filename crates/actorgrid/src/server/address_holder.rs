//! The registration that holds the address of a server that could not start.

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
    /// The token of the registration. It distinguishes the sessions of one peer.
    pub token: Token,
    /// The lease of the registration, as the registry numbers it. `None` if it has none: the key
    /// then remains until an operator deletes it.
    pub lease: Option<i64>,
    /// The remaining time of the lease when it was last read. A live holder renews the lease.
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
