//! The coordination service: keys under leases, with revisions.

#[cfg(test)]
mod conformance;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
pub(crate) mod keys;
mod memory;
mod registration;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_core::future::BoxFuture;

use crate::environment::Environment;
use crate::revision::Revision;
use crate::token::ClusterId;

pub use error::{RegistryError, RegistryErrorKind};
pub use memory::{MemoryFault, MemoryOperation, MemoryRegistry};
#[cfg(test)]
pub(crate) use registration::value_with_nonce;
pub use registration::{Kind, Registration};
pub(crate) use registration::{carries, holder, read, write};

/// A handle on a coordination service: etcd, or the one embedded in the process. Cheap to clone;
/// clones share it.
#[derive(Clone)]
pub struct Registry {
    backend: Arc<dyn Backend>,
}

impl Registry {
    /// Connects to the registry at `url`.
    ///
    /// `memory:` makes a new registry that lives in this process: its peers are one grid as far as
    /// they share clones of it.
    ///
    /// `etcd://host:2379,host:2379` connects to the endpoints of one etcd cluster (feature
    /// `etcd`); a port that is left out is 2379. `user:password@` goes before the hosts, with
    /// what a URL reserves written as `%40`. After the hosts may follow `?tls=true`, or
    /// `?ca=FILE` and `&cert=FILE&key=FILE`, for connections over TLS (feature `tls`): PEM files
    /// of the authorities that vouch for etcd (default: the system's) and of the client's own
    /// certificate. The files are read once, here. Answers within 5 s.
    ///
    /// # Errors
    ///
    /// - [`RegistryErrorKind::Url`]: no registry of this build understands the URL.
    /// - [`RegistryErrorKind::Unavailable`]: no endpoint answers.
    /// - [`RegistryErrorKind::Auth`]: etcd refuses the user or the password.
    /// - [`RegistryErrorKind::Tls`]: no secured connection can be made.
    /// - [`RegistryErrorKind::WrongCluster`]: the endpoints belong to different clusters.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn connect(url: &str) -> Result<Self, RegistryError> {
        Self::connect_in(&Environment::real(), url).await
    }

    /// [`connect`](Self::connect) in another environment than the real one.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_in(environment: &Environment, url: &str) -> Result<Self, RegistryError> {
        if url == "memory:" {
            return Ok(MemoryRegistry::new(environment).registry());
        }
        if let Some(rest) = url.strip_prefix("etcd://") {
            return connect_etcd(environment, rest).await;
        }
        // The rest of it may hold a password.
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        Err(RegistryError::new(
            RegistryErrorKind::Url,
            format!(
                "no registry has URLs of the scheme {scheme:?}: use etcd://host:2379 or memory:"
            ),
        ))
    }

    pub(crate) fn of(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }
}

#[cfg(feature = "etcd")]
async fn connect_etcd(environment: &Environment, rest: &str) -> Result<Registry, RegistryError> {
    let backend = etcd::Etcd::connect(environment, rest).await?;
    Ok(Registry::of(Arc::new(backend)))
}

// Async, as it is with the feature.
#[cfg(not(feature = "etcd"))]
#[allow(clippy::unused_async)]
async fn connect_etcd(_: &Environment, _: &str) -> Result<Registry, RegistryError> {
    Err(RegistryError::new(
        RegistryErrorKind::Url,
        "this build has no etcd: enable the feature `etcd` of actorgrid",
    ))
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry")
            .field(&self.backend.cluster())
            .finish()
    }
}

/// What a coordination service does for the library.
///
/// Implemented by the registries of this crate only. Every method is one exchange with the
/// service. None of them limits its own time: the caller does, and dropping a future means that
/// its outcome is unknown. An error of [`RegistryErrorKind::Unknown`] means the same; after every
/// other error nothing was changed.
pub(crate) trait Backend: Send + Sync + 'static {
    /// The cluster; the same for the life of the handle.
    fn cluster(&self) -> ClusterId;

    /// A new lease. The service may grant another time to live than was asked for.
    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<Lease, RegistryError>>;

    /// Renews a lease and answers its time to live from now on.
    ///
    /// [`RegistryErrorKind::LeaseNotFound`]: it is gone. The service never takes a renewal that was
    /// dropped for a later one.
    fn renew(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration, RegistryError>>;

    /// What is left of a lease; `None` when it is gone.
    fn remaining(&self, lease: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, RegistryError>>;

    /// Ends a lease and deletes its keys. A lease that is gone already is no error.
    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), RegistryError>>;

    /// Claims, all or nothing each, one outcome each in their order. An error concerns all of them.
    fn claim<'a>(
        &'a self,
        batch: &'a ClaimBatch,
    ) -> BoxFuture<'a, Result<Vec<ClaimOutcome>, RegistryError>>;

    /// Puts the epoch key again if its create revision is the given one, and so raises its
    /// modification revision.
    fn raise<'a>(
        &'a self,
        epoch: &'a str,
        create_revision: Revision,
        lease: LeaseId,
        value: Bytes,
    ) -> BoxFuture<'a, Result<RaiseOutcome, RegistryError>>;

    /// Deletes a key if its create revision is the given one; false when it was not.
    fn release<'a>(
        &'a self,
        key: &'a str,
        create_revision: Revision,
    ) -> BoxFuture<'a, Result<bool, RegistryError>>;

    /// A linearizable read of some keys, in their order.
    fn get<'a>(
        &'a self,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Entry>>, RegistryError>>;

    /// A linearizable read of one key: a listing of one entry or none, so that a watch from the
    /// revision behind it on misses nothing.
    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Listing, RegistryError>>;

    /// A linearizable read of all keys with a prefix, sorted by key.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, RegistryError>>;

    /// The changes of the selected keys from a revision on (inclusive).
    ///
    /// The stream gives whole revisions in their order. It ends after an error, of which
    /// [`RegistryErrorKind::Compacted`] says that the history from that revision is not there: then
    /// list again. So it is also where the registry has not come to the revision before: it was
    /// restored from a snapshot, or the member that was asked lags.
    ///
    /// Nothing is read ahead of who polls it, but for one message and what the connection holds.
    fn watch<'a>(
        &'a self,
        selector: &'a Selector,
        from: Revision,
    ) -> BoxFuture<'a, Result<WatchStream, RegistryError>>;
}

/// Changes as they come; see [`Backend::watch`].
pub(crate) type WatchStream =
    Pin<Box<dyn Stream<Item = Result<Vec<Change>, RegistryError>> + Send>>;

/// The number of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LeaseId(pub(crate) i64);

/// A lease as granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) ttl: Duration,
}

/// A key and what is stored under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Bytes,
    /// The revision at which the key came to be.
    pub(crate) created: Revision,
    /// The revision of its last change.
    pub(crate) modified: Revision,
    pub(crate) lease: Option<LeaseId>,
}

/// Entries, and the revision at which they are all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    pub(crate) revision: Revision,
}

/// Keys that come and go together under one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Keys that must be absent, and the values to put.
    pub(crate) puts: Vec<(String, Bytes)>,
}

/// Claims under one lease and one guard. No key stands in it twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimBatch {
    pub(crate) lease: LeaseId,
    /// What every claim of the batch compares besides; absent for a session's first claim.
    pub(crate) guard: Option<Guard>,
    pub(crate) claims: Vec<Claim>,
}

/// The epoch key must be there with this modification revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guard {
    pub(crate) epoch: String,
    pub(crate) modified: Revision,
}

/// What became of one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimOutcome {
    /// All its keys are put, created at this revision.
    Won { revision: Revision },
    /// Nothing is put. What its keys and the epoch key hold, read in the same transaction.
    Refused {
        found: Vec<Option<Entry>>,
        epoch: Option<Entry>,
    },
}

/// What became of the raise of an epoch key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RaiseOutcome {
    /// The key has this modification revision now.
    Raised(Revision),
    /// Nothing is put: the key has another create revision, or is absent. What it holds.
    Refused(Option<Entry>),
}

/// Which keys a watch is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    Key(String),
    Prefix(String),
}

impl Selector {
    pub(crate) fn selects(&self, key: &str) -> bool {
        match self {
            Self::Key(wanted) => wanted == key,
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
        }
    }
}

/// One change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Put(Entry),
    Deleted { key: String, revision: Revision },
}

impl Change {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Deleted { key, .. } => key,
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.modified,
            Self::Deleted { revision, .. } => *revision,
        }
    }
}
