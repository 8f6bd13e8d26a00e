//! The implementation of the backend by the memory registry.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::environment::Timestamp;
use crate::registry::{
    Backend, ClaimBatch, ClaimOutcome, Entry, Lease, LeaseId, Listing, RaiseOutcome, RegistryError,
    Selector, WatchStream,
};
use crate::revision::Revision;
use crate::token::ClusterId;

use super::history_watch;
use super::memory_registry::MemoryRegistry;
use super::operation::MemoryOperation;
use super::store::Store;

impl MemoryRegistry {
    /// Runs one exchange, unless another registry has replaced the one that this handle is bound
    /// to.
    async fn call<T, F>(&self, operation: MemoryOperation, request: F) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Store, Timestamp) -> Result<T, RegistryError> + Send + 'static,
    {
        self.core.with(|state, _| self.handle.check(state))?;
        self.core.call(operation, request).await
    }
}

// The requests own their data: a delayed request outlives its caller.
impl Backend for MemoryRegistry {
    fn cluster(&self) -> ClusterId {
        self.handle.cluster
    }

    fn restored(&self) -> &CancellationToken {
        &self.handle.restored
    }

    fn follow(&self, cluster: ClusterId) -> BoxFuture<'_, Result<Arc<dyn Backend>, RegistryError>> {
        Box::pin(async move {
            let handle = self
                .core
                .with(|state, _| self.handle.follow(state, cluster))?;
            let followed = Self {
                core: self.core.clone(),
                handle: Arc::new(handle),
            };
            Ok(Arc::new(followed) as Arc<dyn Backend>)
        })
    }

    /// Returns a clone, as there are no connections.
    fn dedicated(&self) -> Arc<dyn Backend> {
        Arc::new(self.clone())
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<Lease, RegistryError>> {
        Box::pin(self.call(MemoryOperation::Grant, move |store, now| {
            store.grant(now, ttl)
        }))
    }

    fn renew(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration, RegistryError>> {
        Box::pin(self.call(MemoryOperation::Renew, move |store, now| {
            store.renew(now, lease)
        }))
    }

    fn remaining(&self, lease: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, RegistryError>> {
        Box::pin(self.call(MemoryOperation::Remaining, move |store, now| {
            Ok(store.remaining(now, lease))
        }))
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), RegistryError>> {
        Box::pin(self.call(MemoryOperation::Revoke, move |store, _| {
            store.revoke(lease);
            Ok(())
        }))
    }

    fn claim<'a>(
        &'a self,
        batch: &'a ClaimBatch,
    ) -> BoxFuture<'a, Result<Vec<ClaimOutcome>, RegistryError>> {
        let batch = batch.clone();
        Box::pin(self.call(MemoryOperation::Claim, |store, _| store.claim(batch)))
    }

    fn raise<'a>(
        &'a self,
        epoch: &'a str,
        create_revision: Revision,
        lease: LeaseId,
        value: Bytes,
    ) -> BoxFuture<'a, Result<RaiseOutcome, RegistryError>> {
        let epoch = epoch.to_owned();
        Box::pin(self.call(MemoryOperation::Raise, move |store, _| {
            store.raise(epoch, create_revision, lease, value)
        }))
    }

    fn release<'a>(
        &'a self,
        key: &'a str,
        create_revision: Revision,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        let key = key.to_owned();
        Box::pin(self.call(MemoryOperation::Release, move |store, _| {
            Ok(store.release(&key, create_revision))
        }))
    }

    fn get<'a>(
        &'a self,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Entry>>, RegistryError>> {
        let keys = keys.to_vec();
        Box::pin(self.call(MemoryOperation::Get, move |store, _| {
            Ok(keys.iter().map(|key| store.entry(key)).collect())
        }))
    }

    fn peek<'a>(
        &'a self,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Entry>>, RegistryError>> {
        let keys = keys.to_vec();
        Box::pin(self.call(MemoryOperation::Peek, move |store, _| {
            Ok(keys.iter().map(|key| store.entry(key)).collect())
        }))
    }

    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Listing, RegistryError>> {
        let key = key.to_owned();
        Box::pin(self.call(MemoryOperation::Get, move |store, _| {
            Ok(Listing {
                entries: store.entry(&key).into_iter().collect(),
                revision: store.revision(),
            })
        }))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, RegistryError>> {
        let prefix = prefix.to_owned();
        Box::pin(self.call(MemoryOperation::List, move |store, _| {
            Ok(store.list(&prefix))
        }))
    }

    fn watch<'a>(
        &'a self,
        selector: &'a Selector,
        from: Revision,
    ) -> BoxFuture<'a, Result<WatchStream, RegistryError>> {
        Box::pin(async move {
            self.call(MemoryOperation::Watch, move |store, _| {
                store.check_reached(from)
            })
            .await?;
            Ok(history_watch::open(&self.core, selector.clone(), from))
        })
    }
}
