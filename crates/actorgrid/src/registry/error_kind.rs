//! The kinds of failures of the registry.

use crate::stable_names::stable_names;

/// The kind of a [`RegistryError`](super::RegistryError).
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
    /// The history that a watch asked for is not there: it is compacted, or not reached yet.
    Compacted,
    /// The registry refused the user, the password, or what the user asked for: grant the user's
    /// role the keys, or correct the URL. Nothing was changed.
    Auth,
    /// A secured connection cannot be made: a certificate or a key is missing, unreadable or not
    /// accepted. Nothing was changed.
    Tls,
    /// An endpoint belongs to another cluster than before, or than the other endpoints. Nothing
    /// was changed in the right one. [`follow_cluster`](crate::Registry::follow_cluster) goes there.
    WrongCluster,
    /// The registry has gone back to an earlier revision than it had reported: it was restored from
    /// a snapshot, or has lost its data. It is not asked any more.
    Restored,
    /// The registry's storage is full: it needs to be compacted, defragmented, and its alarm
    /// disarmed. Nothing was changed.
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
