use std::fmt;

/// What kind of failure a [`RegistryError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegistryErrorKind {
    /// The URL names no registry.
    Url,
    /// The registry cannot be reached, or refused to work; nothing was changed.
    Unavailable,
    /// No reply came: the change may have been made, or may still be made.
    Unknown,
    /// The lease is gone.
    LeaseNotFound,
    /// The history that a watch asked for is not there: it is compacted, or the registry was
    /// restored from a snapshot.
    Compacted,
    /// The registry refused the user, the password, or what the user asked for: grant the user's
    /// role the keys, or correct the URL. Nothing was changed.
    Auth,
    /// A secured connection cannot be made: a certificate or a key is missing, unreadable or not
    /// accepted. Nothing was changed.
    Tls,
    /// An endpoint belongs to another cluster than before, or than the other endpoints. Nothing
    /// was changed in the right one.
    WrongCluster,
    /// The registry's storage is full: it needs to be compacted, defragmented, and its alarm
    /// disarmed. Nothing was changed.
    NoSpace,
}

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

    /// What kind of failure it is.
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
