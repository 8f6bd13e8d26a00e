//! Why a mailbox could not be opened.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::capacity::MAX_MAILBOX_CAPACITY;
use crate::name::{Name, NameError};
use crate::registry::RegistryError;
use crate::stable_names::stable_names;
use crate::token::Token;

/// The kind of a [`MailboxError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MailboxErrorKind {
    /// The name is not valid.
    InvalidName,
    /// The capacity is 0, or larger than [`MAX_MAILBOX_CAPACITY`].
    Capacity,
    /// The name is held already.
    Taken,
    /// The owner is asked to stop, or its peer does not serve.
    Stopping,
    /// The actor's type declares its mailbox with another message set, or the declared mailbox was
    /// already taken.
    Declared,
    /// The registry did not accept the claim; nothing is registered. If its storage is full, the
    /// outcome can be unknown: then the name stays taken on this peer until the registry has space.
    Registry,
}

stable_names! {
    MailboxErrorKind {
        InvalidName = "invalid-name",
        Capacity = "capacity",
        Taken = "taken",
        Stopping = "stopping",
        Declared = "declared",
        Registry = "registry",
    }
}

/// Why a mailbox could not be opened. Nothing is left registered or reserved, with the exception
/// that [`MailboxErrorKind::Registry`] describes.
#[derive(Debug, Clone)]
pub struct MailboxError {
    kind: MailboxErrorKind,
    text: String,
    holder: Option<Name>,
    token: Option<Token>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl MailboxError {
    fn new(kind: MailboxErrorKind, text: String) -> Self {
        Self {
            kind,
            text,
            holder: None,
            token: None,
            cause: None,
        }
    }

    fn because(self, cause: impl Error + Send + Sync + 'static) -> Self {
        Self {
            cause: Some(Arc::new(cause)),
            ..self
        }
    }

    pub(crate) fn invalid_name(error: &NameError) -> Self {
        Self::new(MailboxErrorKind::InvalidName, error.to_string()).because(error.clone())
    }

    pub(crate) fn capacity(capacity: usize) -> Self {
        Self::new(
            MailboxErrorKind::Capacity,
            format!("a mailbox holds 1 to {MAX_MAILBOX_CAPACITY} requests, not {capacity}"),
        )
    }

    pub(crate) fn taken(name: &Name, holder: Option<Name>, token: Option<Token>) -> Self {
        let by = holder
            .as_ref()
            .map_or(String::new(), |peer| format!(" by {peer}"));
        Self {
            holder,
            token,
            ..Self::new(
                MailboxErrorKind::Taken,
                format!("the mailbox {name} is held{by}"),
            )
        }
    }

    pub(crate) fn stopping() -> Self {
        Self::new(
            MailboxErrorKind::Stopping,
            "cannot open a mailbox: its owner is asked to stop, or its peer is not serving"
                .to_owned(),
        )
    }

    pub(crate) fn declared(name: &Name) -> Self {
        Self::new(
            MailboxErrorKind::Declared,
            format!(
                "the mailbox {name} is declared by its actor's type: take it once, with the \
                 declared message set"
            ),
        )
    }

    pub(crate) fn registry(error: RegistryError) -> Self {
        Self::new(MailboxErrorKind::Registry, error.to_string()).because(error)
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> MailboxErrorKind {
        self.kind
    }

    /// Whether the same call can succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            MailboxErrorKind::Taken | MailboxErrorKind::Registry
        )
    }

    /// Returns the peer that holds the name, if the name is taken and its holder is known.
    #[must_use]
    pub fn holder(&self) -> Option<&Name> {
        self.holder.as_ref()
    }

    /// Returns the token of the registration that holds the name, if it is known.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.token
    }
}

impl fmt::Display for MailboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for MailboxError {
    /// Returns the [`RegistryError`] or the [`NameError`] that caused this, if any.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cause = self.cause.as_ref()?;
        Some(&**cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_its_cause() {
        let error = MailboxError::registry(RegistryError::no_reply());
        assert!(
            error
                .source()
                .is_some_and(|cause| cause.is::<RegistryError>())
        );
        let error = MailboxError::invalid_name(&NameError::Empty);
        assert!(error.source().is_some_and(|cause| cause.is::<NameError>()));
        assert!(MailboxError::stopping().source().is_none());
    }
}
