//! The handle on a server.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::faults::Faults;
use super::snapshot::EtcdSnapshot;
use crate::etcd_core::EtcdCore;
use crate::serving;
use crate::store::{KeyRange, Store};

/// An etcd server in memory. It is cheap to clone, and clones share one server.
///
/// It has no task: it runs while [`serve`](Self::serve) or
/// [`serve_connection`](Self::serve_connection) is polled.
#[derive(Clone)]
pub struct MemoryEtcd {
    core: Arc<EtcdCore>,
}

impl MemoryEtcd {
    pub(super) fn of(core: Arc<EtcdCore>) -> Self {
        Self { core }
    }

    /// Serves the connections that a listener accepts.
    ///
    /// # Errors
    ///
    /// Never returns, except with an error of the listener.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener and all its connections. The contents stay.
    pub async fn serve(&self, listener: TcpListener) -> std::io::Result<()> {
        serving::serve(&self.core, listener).await
    }

    /// Serves one connection, until it ends. The future contains all that runs for it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection. A request of which no reply was sent may have
    /// been carried out.
    pub async fn serve_connection<I>(&self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        serving::serve_connection(&self.core, io).await;
    }

    /// Returns the handle that switches faults on and off.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::new(Arc::clone(&self.core))
    }

    /// Returns the id of the cluster.
    #[must_use]
    pub fn cluster(&self) -> u64 {
        self.core.with(|state, _| state.identity.cluster)
    }

    /// Returns the current revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.core.with(|state, _| state.store.revision())
    }

    /// Returns the current keys, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<Bytes> {
        let all = KeyRange::From(Bytes::new());
        self.core.with(|state, _| {
            let kvs = state.store.read(&all, state.store.revision());
            kvs.map(|kv| kv.key.clone()).collect()
        })
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn value(&self, key: &[u8]) -> Option<Bytes> {
        self.core.with(|state, _| {
            let kv = state.store.get(key);
            kv.map(|kv| kv.value.clone())
        })
    }

    /// Returns the number of leases.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.core.with(|state, _| state.store.lease_count())
    }

    /// Returns the number of open watches.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.core.with(|state, _| state.watches)
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.core.connections()
    }

    /// Puts a key without a lease, like an operator.
    pub fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (key, value) = (key.into(), value.into());
        self.core.with(|state, _| {
            let mut write = state.store.write();
            write.put(&key, value, 0);
            write.commit();
        });
    }

    /// Deletes a key, like an operator. Returns whether it existed.
    pub fn delete(&self, key: impl Into<Bytes>) -> bool {
        let key = key.into();
        self.core.with(|state, _| {
            let mut write = state.store.write();
            let deleted = write.delete(&key);
            write.commit();
            deleted
        })
    }

    /// Returns a snapshot of the contents.
    #[must_use]
    pub fn snapshot(&self) -> EtcdSnapshot {
        self.core.with(|state, _| EtcdSnapshot {
            cluster: state.identity.cluster,
            store: state.store.clone(),
        })
    }

    /// Restores earlier contents, with their revision and their cluster, and closes all
    /// connections. The time of the leases starts anew.
    pub fn restore(&self, snapshot: &EtcdSnapshot) {
        let store = snapshot.store.clone();
        self.core.with(|state, now| {
            state.replace(snapshot.cluster, store);
            state.store.renew_all(now);
        });
        self.faults().cut();
    }

    /// Replaces the cluster with an empty one that has a new id, and closes all connections.
    pub fn replace(&self) {
        self.core.with(|state, _| {
            let cluster = state.numbers.next().max(1);
            state.replace(cluster, Store::new());
        });
        self.faults().cut();
    }
}

impl fmt::Debug for MemoryEtcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEtcd")
            .field("cluster", &self.cluster())
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}
