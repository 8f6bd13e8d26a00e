//! The interface between the library and a coordination service.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_core::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::claim::{ClaimBatch, ClaimOutcome};
use super::entry::{Entry, Listing};
use super::error::RegistryError;
#[cfg(doc)]
use super::error_kind::RegistryErrorKind;
use super::lease::{Lease, LeaseId};
use super::raise::RaiseOutcome;
use super::selector::Selector;
use super::watch_update::WatchUpdate;
use crate::revision::Revision;
use crate::token::ClusterId;

/// The operations of a coordination service that the library uses.
///
/// Implemented only by the registries of this crate. Every method is one exchange with the service.
/// No method limits its own time; the caller does, and after dropping a future its outcome is
/// unknown. An error of kind [`Unknown`](RegistryErrorKind::Unknown) means the same; after any
/// other error nothing was changed.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Returns the cluster, which stays the same for the life of the handle.
    fn cluster(&self) -> ClusterId;

    /// Returns a handle on the same service with dedicated connections. They are opened on first
    /// use, by tasks of the runtime that uses them, and end when the returned handle and its
    /// watches are dropped.
    fn dedicated(&self) -> Arc<dyn Backend>;

    /// Returns a token that is cancelled once the service is known to have gone back to an earlier
    /// revision. From then on every exchange fails as [`Restored`](RegistryErrorKind::Restored):
    /// the service may have forgotten names, and comparing revisions from before and after would
    /// give wrong results.
    fn restored(&self) -> &CancellationToken;

    /// Connects to the given cluster at the same endpoints, and returns a handle on it.
    ///
    /// Fails as [`WrongCluster`](RegistryErrorKind::WrongCluster) if another cluster is there, and
    /// as [`Restored`](RegistryErrorKind::Restored) if it is the current cluster, or one followed
    /// before, at an earlier revision than it had reached then.
    fn follow(&self, cluster: ClusterId) -> BoxFuture<'_, Result<Arc<dyn Backend>, RegistryError>>;

    /// Grants a new lease. The service may choose a different time to live than requested.
    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<Lease, RegistryError>>;

    /// Renews a lease, and returns its new time to live.
    ///
    /// Fails as [`RegistryErrorKind::LeaseNotFound`] if the lease is gone. The service never
    /// mistakes a dropped renewal for a later one.
    fn renew(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration, RegistryError>>;

    /// Returns the remaining time of a lease, or `None` if it is gone.
    fn remaining(&self, lease: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, RegistryError>>;

    /// Revokes a lease and deletes its keys. Succeeds if the lease is gone already.
    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), RegistryError>>;

    /// Makes claims, each of which puts all its keys or none. Returns one outcome for each claim,
    /// in order. An error applies to all of them.
    fn claim<'a>(
        &'a self,
        batch: &'a ClaimBatch,
    ) -> BoxFuture<'a, Result<Vec<ClaimOutcome>, RegistryError>>;

    /// Puts the epoch key again if its create revision is the given one, which raises its
    /// modification revision.
    fn raise<'a>(
        &'a self,
        epoch: &'a str,
        create_revision: Revision,
        lease: LeaseId,
        value: Bytes,
    ) -> BoxFuture<'a, Result<RaiseOutcome, RegistryError>>;

    /// Deletes a key if its create revision is the given one. Returns false if it was not.
    fn release<'a>(
        &'a self,
        key: &'a str,
        create_revision: Revision,
    ) -> BoxFuture<'a, Result<bool, RegistryError>>;

    /// Reads keys linearizably, and returns their entries in the same order.
    fn get<'a>(
        &'a self,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Entry>>, RegistryError>>;

    /// Reads keys as one member of the service knows them, and returns their entries in the same
    /// order. The result may be stale, so a key that is reported absent may exist. In return, the
    /// member consults no other member, and replies even while the members have no quorum. This is
    /// for readers that detect a stale result by its token.
    fn peek<'a>(
        &'a self,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Entry>>, RegistryError>>;

    /// Reads one key linearizably. Returns a listing of one entry or none; a watch from the
    /// revision after the listing misses nothing.
    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Listing, RegistryError>>;

    /// Lists all keys with a prefix linearizably, sorted by key.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, RegistryError>>;

    /// Watches the changes of the selected keys, starting at a revision (inclusive).
    ///
    /// The stream yields whole revisions in order, and from time to time how far it is complete. It
    /// ends after an error. A watch that the registry leaves unanswered for some seconds fails as
    /// [unavailable](RegistryErrorKind::Unavailable). [`Compacted`](RegistryErrorKind::Compacted)
    /// means that the history from that revision does not exist: then list again. The history is
    /// either compacted, or the registry has not reached the preceding revision yet because it was
    /// restored from a snapshot or the queried member lags.
    ///
    /// Nothing is read ahead of polling except one message, the connection's buffers, and, on etcd,
    /// the messages that arrive while etcd is asked whether the watch still exists: at most 16
    /// messages totalling 1 MiB. If more arrive, the watch fails as unavailable.
    fn watch<'a>(
        &'a self,
        selector: &'a Selector,
        from: Revision,
    ) -> BoxFuture<'a, Result<WatchStream, RegistryError>>;
}

/// The changes of selected keys, in order; see [`Backend::watch`].
pub(crate) type WatchStream =
    Pin<Box<dyn Stream<Item = Result<WatchUpdate, RegistryError>> + Send>>;
