//! The error of the registry.

use std::fmt;

use super::error_kind::RegistryErrorKind;

/// A failure of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError {
    kind: RegistryErrorKind,
    text: String,
}

impl RegistryError {
    pub(crate) fn new(kind: RegistryErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    /// No reply within the time that was given.
    pub(crate) fn no_reply() -> Self {
        Self::new(
            RegistryErrorKind::Unknown,
            "the registry did not answer in time",
        )
    }

    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> RegistryErrorKind {
        self.kind
    }

    /// Whether the same call can succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            RegistryErrorKind::Unavailable
            | RegistryErrorKind::Unknown
            | RegistryErrorKind::Compacted
            | RegistryErrorKind::NoSpace => true,
            RegistryErrorKind::Url
            | RegistryErrorKind::LeaseNotFound
            | RegistryErrorKind::Auth
            | RegistryErrorKind::Tls
            | RegistryErrorKind::WrongCluster => false,
        }
    }

    /// Whether the change that was asked for may have been made.
    #[must_use]
    pub fn may_have_executed(&self) -> bool {
        self.kind == RegistryErrorKind::Unknown
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for RegistryError {}
