//! The implementation of the backend by etcd.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::etcd::Etcd;
use super::kv::{only, range_of};
use super::watch;
use crate::registry::{
    Backend, ClaimBatch, ClaimOutcome, Entry, Lease, LeaseId, Listing, RaiseOutcome, RegistryError,
    Selector, WatchStream,
};
use crate::revision::Revision;
use crate::token::ClusterId;

impl Backend for Etcd {
    fn cluster(&self) -> ClusterId {
        self.cluster.id
    }

    fn dedicated(&self) -> Arc<dyn Backend> {
        Arc::new(Self::dedicated(self))
    }

    fn restored(&self) -> &CancellationToken {
        self.cluster.history.restored()
    }

    fn follow(&self, cluster: ClusterId) -> BoxFuture<'_, Result<Arc<dyn Backend>, RegistryError>> {
        Box::pin(async move {
            let followed = self.follow_cluster(cluster).await?;
            Ok(Arc::new(followed) as Arc<dyn Backend>)
        })
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<Lease, RegistryError>> {
        Box::pin(self.grant_lease(ttl))
    }

    fn renew(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration, RegistryError>> {
        Box::pin(self.renew_lease(lease))
    }

    fn remaining(&self, lease: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, RegistryError>> {
        Box::pin(self.remaining_of_lease(lease))
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), RegistryError>> {
        Box::pin(self.revoke_lease(lease))
    }

    fn claim<'a>(
        &'a self,
        batch: &'a ClaimBatch,
    ) -> BoxFuture<'a, Result<Vec<ClaimOutcome>, RegistryError>> {
        Box::pin(self.claim_batch(batch))
    }

    fn raise<'a>(
        &'a self,
        epoch: &'a str,
        create_revision: Revision,
        lease: LeaseId,
        value: Bytes,
    ) -> BoxFuture<'a, Result<RaiseOutcome, RegistryError>> {
        Box::pin(self.raise_key(epoch, create_revision, lease, value))
    }

    fn release<'a>(
        &'a self,
        key: &'a str,
        create_revision: Revision,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(self.release_key(key, create_revision))
    }

    fn get<'a>(
        &'a self,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Entry>>, RegistryError>> {
        Box::pin(self.get_keys(keys))
    }

    fn peek<'a>(
        &'a self,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Entry>>, RegistryError>> {
        Box::pin(self.peek_keys(keys))
    }

    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Listing, RegistryError>> {
        Box::pin(self.list_range(only(key)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, RegistryError>> {
        Box::pin(self.list_range(range_of(prefix)))
    }

    fn watch<'a>(
        &'a self,
        selector: &'a Selector,
        from: Revision,
    ) -> BoxFuture<'a, Result<WatchStream, RegistryError>> {
        Box::pin(watch::open(&self.cluster, selector, from))
    }
}
