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
/// Implemented by the registries of this crate only. Every method is one exchange with the
/// service. None of them limits its own time: the caller does, and dropping a future means that
/// its outcome is unknown. An error of [`Unknown`](RegistryErrorKind::Unknown) means the same;
/// after every other error nothing was changed.
pub(crate) trait Backend: Send + Sync + 'static {
    /// The cluster; the same for the life of the handle.
    fn cluster(&self) -> ClusterId;

    /// The same service over connections of its own, which are opened when they are first used, by
    /// tasks of the runtime that uses them. They end when the returned handle and its watches are
    /// dropped.
    fn dedicated(&self) -> Arc<dyn Backend>;

    /// Cancelled once the service is known to have gone back to an earlier revision. From then on
    /// every exchange fails as [`Restored`](RegistryErrorKind::Restored): names may have been
    /// forgotten, and the revisions of new ones compare falsely with those of before.
    fn restored(&self) -> &CancellationToken;

    /// A handle on this cluster, at the same place as the present one.
    ///
    /// [`WrongCluster`](RegistryErrorKind::WrongCluster): another one is there.
    /// [`Restored`](RegistryErrorKind::Restored): it is the present one, or one that was followed
    /// before, at an earlier revision than it had come to then.
    fn follow(&self, cluster: ClusterId) -> BoxFuture<'_, Result<Arc<dyn Backend>, RegistryError>>;

    /// A new lease. The service may grant another time to live than was asked for.
    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<Lease, RegistryError>>;

    /// Renews a lease and returns its time to live from now on.
    ///
    /// [`RegistryErrorKind::LeaseNotFound`]: it is gone. The service never takes a renewal that was
    /// dropped for a later one.
    fn renew(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration, RegistryError>>;

    /// The time that is left of a lease; `None` when it is gone.
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

    /// A read of some keys, in their order, as one member of the service knows them. It may lag
    /// behind what is registered by now, so a key that is absent may be there; but it asks no other
    /// member, and is answered also while they do not agree. For readers who learn by a token when
    /// what they found is too old.
    fn peek<'a>(
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
    /// The stream gives whole revisions in their order, and now and then how far it is complete.
    /// It ends after an error. One that the registry does not answer for some seconds fails as
    /// [unavailable](RegistryErrorKind::Unavailable), and
    /// [`Compacted`](RegistryErrorKind::Compacted) means that the history from that revision is
    /// not there: then list again. The same error means that the registry has not reached the
    /// revision before: it was restored from a snapshot, or the member that was asked lags.
    ///
    /// Nothing is read before it is polled for, except one message, what the connection holds, and
    /// on etcd what comes while the service is asked whether the watch is still there: at most 16
    /// messages of together 1 MiB. If more comes, it fails as unavailable.
    fn watch<'a>(
        &'a self,
        selector: &'a Selector,
        from: Revision,
    ) -> BoxFuture<'a, Result<WatchStream, RegistryError>>;
}

/// The changes of selected keys, in their order; see [`Backend::watch`].
pub(crate) type WatchStream =
    Pin<Box<dyn Stream<Item = Result<WatchUpdate, RegistryError>> + Send>>;
