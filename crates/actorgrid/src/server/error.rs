//! The error of a server that did not start.

use std::fmt;
use std::sync::Arc;

use super::address_holder::AddressHolder;
use crate::registry::RegistryError;
use crate::stable_names::stable_names;

/// The kind of a [`ServerError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerErrorKind {
    /// A setting is not valid; the text names it.
    Configuration,
    /// The server cannot listen on the address.
    Listen,
    /// Another peer holds the address in the registry.
    AddressInUse,
    /// The registry cannot be reached, or rejected the request.
    Registry,
    /// The start was aborted: the runtime is shutting down, or the task of the server panicked.
    Aborted,
}

stable_names! {
    ServerErrorKind {
        Configuration = "configuration",
        Listen = "listen",
        AddressInUse = "address-in-use",
        Registry = "registry",
        Aborted = "aborted",
    }
}

/// The error of a server that did not start. Nothing is left registered or running.
#[derive(Debug, Clone)]
pub struct ServerError {
    kind: ServerErrorKind,
    text: String,
    holder: Option<AddressHolder>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl ServerError {
    fn new(kind: ServerErrorKind, text: String) -> Self {
        Self {
            kind,
            text,
            holder: None,
            source: None,
        }
    }

    fn caused_by(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(cause));
        self
    }

    /// A setting that breaks a rule of the builder's own, so that there is no error of another type
    /// to report.
    pub(super) fn setting(setting: &str, why: impl fmt::Display) -> Self {
        Self::new(ServerErrorKind::Configuration, format!("{setting}: {why}"))
    }

    pub(super) fn configuration(
        setting: &str,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::setting(setting, &cause).caused_by(cause)
    }

    pub(super) fn listen(address: impl fmt::Display, cause: std::io::Error) -> Self {
        let text = format!("cannot listen on {address}: {cause}");
        Self::new(ServerErrorKind::Listen, text).caused_by(cause)
    }

    pub(super) fn address_in_use(address: impl fmt::Display, holder: AddressHolder) -> Self {
        let text = format!(
            "the address {address} is held by another peer ({holder}): stop it, or advertise \
             another address; if it has crashed, bind again when its lease has run out"
        );
        Self {
            holder: Some(holder),
            ..Self::new(ServerErrorKind::AddressInUse, text)
        }
    }

    pub(super) fn registry(cause: RegistryError) -> Self {
        let text = format!("the registry: {cause}");
        Self::new(ServerErrorKind::Registry, text).caused_by(cause)
    }

    pub(super) fn aborted() -> Self {
        let text =
            "the start was aborted: the runtime is shutting down, or the server's task panicked";
        Self::new(ServerErrorKind::Aborted, text.to_owned())
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ServerErrorKind {
        self.kind
    }

    /// Returns the registration that holds the address, for the kind
    /// [`AddressInUse`](ServerErrorKind::AddressInUse).
    #[must_use]
    pub fn holder(&self) -> Option<&AddressHolder> {
        self.holder.as_ref()
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

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}
