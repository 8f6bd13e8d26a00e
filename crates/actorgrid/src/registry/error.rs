//! The error of the registry.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::error_kind::RegistryErrorKind;

/// A failure of the registry.
///
/// It displays as one line that includes the cause. [`source`](std::error::Error::source) returns
/// the underlying error of the network, of TLS or of etcd, if there is one. Two errors are equal if
/// their kinds and their texts are equal.
#[derive(Debug, Clone)]
pub struct RegistryError {
    kind: RegistryErrorKind,
    text: String,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl RegistryError {
    pub(crate) fn new(kind: RegistryErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            cause: None,
        }
    }

    /// Adds the cause of the failure.
    #[cfg_attr(not(feature = "etcd"), allow(dead_code))]
    pub(crate) fn caused_by(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            cause: Some(cause.into().into()),
            ..self
        }
    }

    /// Returns the same failure with the kind that it has for the caller.
    #[cfg_attr(not(feature = "etcd"), allow(dead_code))]
    pub(crate) fn as_kind(&self, kind: RegistryErrorKind) -> Self {
        Self {
            kind,
            ..self.clone()
        }
    }

    /// Creates the error for an exchange without a reply in time.
    pub(crate) fn no_reply() -> Self {
        Self::new(
            RegistryErrorKind::Unknown,
            "the registry did not reply in time",
        )
    }

    /// Returns the kind of the failure.
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
            | RegistryErrorKind::WrongCluster
            | RegistryErrorKind::Restored => false,
        }
    }

    /// Whether the registry is no longer the same one, as far as names and tokens are concerned.
    pub(crate) fn is_other_registry(&self) -> bool {
        matches!(
            self.kind,
            RegistryErrorKind::WrongCluster | RegistryErrorKind::Restored
        )
    }

    /// Creates the error for a registry that has gone back to an earlier revision than it had
    /// reported.
    pub(crate) fn restored(text: impl Into<String>) -> Self {
        Self::new(RegistryErrorKind::Restored, text)
    }

    /// Whether the requested change may have been made.
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

impl Error for RegistryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cause: &(dyn Error + 'static) = self.cause.as_deref()?;
        Some(cause)
    }
}

impl PartialEq for RegistryError {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.text == other.text
    }
}

impl Eq for RegistryError {}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: RegistryErrorKind = RegistryErrorKind::Unavailable;

    #[test]
    fn keeps_its_cause() {
        let plain = RegistryError::new(KIND, "it failed");
        assert!(plain.source().is_none());
        let cause = std::io::Error::other("the cause");
        let error = plain.clone().caused_by(cause);
        assert_eq!(error.to_string(), "it failed");
        let doubtful = error.as_kind(RegistryErrorKind::Unknown);
        assert_eq!(doubtful.kind(), RegistryErrorKind::Unknown);
        for error in [error.clone(), doubtful] {
            let source = error.source().expect("the error has no source");
            assert!(source.is::<std::io::Error>());
            assert_eq!(source.to_string(), "the cause");
        }
        // Equality ignores the causes.
        assert_eq!(error, plain);
    }

    #[test]
    fn is_equal_by_kind_and_text() {
        let error = RegistryError::new(KIND, "it failed");
        assert_ne!(error, RegistryError::new(KIND, "it failed otherwise"));
        assert_ne!(error, error.as_kind(RegistryErrorKind::Unknown));
    }
}
