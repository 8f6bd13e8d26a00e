//! Why a server did not start.

use std::fmt;

use crate::registry::RegistryError;
use crate::stable_names::stable_names;
use crate::token::Token;

/// What kind of failure a [`ServerError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerErrorKind {
    /// A setting is not valid; the text names it.
    Configuration,
    /// The address cannot be listened on.
    Listen,
    /// Another peer of the registry holds the address.
    AddressInUse,
    /// The registry cannot be reached, or refused.
    Registry,
}

stable_names! {
    ServerErrorKind {
        Configuration = "configuration",
        Listen = "listen",
        AddressInUse = "address-in-use",
        Registry = "registry",
    }
}

/// Why a server did not start. Nothing is left registered or running.
#[derive(Debug, Clone)]
pub struct ServerError {
    kind: ServerErrorKind,
    text: String,
}

impl ServerError {
    pub(super) fn configuration(setting: &str, why: impl fmt::Display) -> Self {
        Self {
            kind: ServerErrorKind::Configuration,
            text: format!("{setting}: {why}"),
        }
    }

    pub(super) fn listen(address: impl fmt::Display, error: &std::io::Error) -> Self {
        Self {
            kind: ServerErrorKind::Listen,
            text: format!("cannot listen on {address}: {error}"),
        }
    }

    pub(super) fn address_in_use(address: impl fmt::Display, key: &str, token: Token) -> Self {
        Self {
            kind: ServerErrorKind::AddressInUse,
            text: format!(
                "the address {address} is held by another peer (key {key}, token {token}): stop it, or advertise another address"
            ),
        }
    }

    pub(super) fn registry(error: &RegistryError) -> Self {
        Self {
            kind: ServerErrorKind::Registry,
            text: format!("the registry: {error}"),
        }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ServerErrorKind {
        self.kind
    }

    /// Whether the same start can succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind != ServerErrorKind::Configuration
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ServerError {}
