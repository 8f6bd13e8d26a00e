//! The kinds of failures of the registry.

use crate::stable_names::stable_names;

/// The kind of a [`RegistryError`](super::RegistryError).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegistryErrorKind {
    /// The URL does not describe a registry.
    Url,
    /// The registry cannot be reached or refused the request. Nothing was changed.
    Unavailable,
    /// No reply arrived: the change may have been made, or may still be made.
    Unknown,
    /// The lease is gone.
    LeaseNotFound,
    /// The requested history of a watch does not exist: it is compacted, or not reached yet.
    Compacted,
    /// The registry rejected the user or the password, or the user lacks a permission: grant the
    /// user's role access to the keys, or correct the URL. Nothing was changed.
    Auth,
    /// No connection over TLS can be established: a certificate or a key is missing, unreadable or
    /// not accepted. Nothing was changed.
    Tls,
    /// An endpoint belongs to a different cluster than before, or than the other endpoints. Nothing
    /// was changed in the right one. Use [`follow_cluster`](crate::Registry::follow_cluster) to
    /// switch to the other cluster.
    WrongCluster,
    /// The registry has gone back to an earlier revision than it had reported: it was restored from
    /// a snapshot, or has lost data. It receives no more requests.
    Restored,
    /// The registry's storage is full: compact and defragment it, then disarm its alarm. Nothing
    /// was changed.
    NoSpace,
}

stable_names! {
    RegistryErrorKind {
        Url = "url",
        Unavailable = "unavailable",
        Unknown = "unknown",
        LeaseNotFound = "lease-not-found",
        Compacted = "compacted",
        Auth = "auth",
        Tls = "tls",
        WrongCluster = "wrong-cluster",
        Restored = "restored",
        NoSpace = "no-space",
    }
}
