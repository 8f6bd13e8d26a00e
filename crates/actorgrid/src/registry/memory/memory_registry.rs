//! The handle on a memory registry, with which tests also control its failures.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::fault::MemoryFault;
use super::memory_core::MemoryCore;
use super::memory_handle::MemoryHandle;
use super::operation::MemoryOperation;
use super::snapshot::MemorySnapshot;
use super::store::Store;
use crate::environment::Environment;
#[cfg(test)]
use crate::registry::LeaseId;
use crate::registry::Registry;
use crate::revision::Revision;
use crate::token::ClusterId;

/// A registry that lives in this process, with the semantics of etcd. It is cheap to clone; clones
/// share one registry, and so do all [`Registry`] handles created from them.
///
/// It is meant for grids within one process and for tests: it can be made to fail in all the ways
/// in which a service across a network fails. It stores nothing on disk. Tokens of different
/// registries cannot be compared, as each registry draws its own
/// [`ClusterId`](crate::token::ClusterId).
///
/// ```
/// use actorgrid::{Environment, MemoryFault, MemoryOperation, MemoryRegistry};
///
/// let registry = MemoryRegistry::new(&Environment::real());
/// // The next registration succeeds, but its caller gets an error.
/// registry.inject(MemoryOperation::Claim, MemoryFault::FailReply);
/// let handle = registry.registry();
/// assert_eq!(registry.calls(MemoryOperation::Claim), 0);
/// # drop(handle);
/// ```
#[derive(Clone)]
pub struct MemoryRegistry {
    pub(super) core: Arc<MemoryCore>,
    pub(super) handle: Arc<MemoryHandle>,
}

impl MemoryRegistry {
    /// Creates an empty registry that uses the clock and the randomness of `environment`.
    #[must_use]
    pub fn new(environment: &Environment) -> Self {
        Self::connected(Arc::new(MemoryCore::new(environment)))
    }

    /// Returns a handle like that of a process that connects now.
    fn connected(core: Arc<MemoryCore>) -> Self {
        let handle = core.with(|state, _| Arc::new(MemoryHandle::new(state)));
        Self { core, handle }
    }

    /// Returns a handle for servers and clients, like that of a process that connects now: it is
    /// bound to the current cluster and its history.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::of(Arc::new(Self::connected(self.core.clone())))
    }

    /// Returns the current cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.core.with(|state, _| state.cluster())
    }

    /// Replaces the cluster with an empty one that has a new id. From now on, existing handles fail
    /// as [`WrongCluster`](crate::RegistryErrorKind::WrongCluster).
    pub fn replace(&self) {
        let environment = &self.core.environment;
        let (cluster, store) = (
            ClusterId(environment.random_u64()),
            Store::new(Revision::new(1)),
        );
        self.core
            .with(|state, _| state.replace_contents(cluster, store));
    }

    /// Returns a snapshot of the current contents.
    #[must_use]
    pub fn snapshot(&self) -> MemorySnapshot {
        self.core.with(|state, _| MemorySnapshot {
            cluster: state.cluster(),
            store: state.store.clone(),
        })
    }

    /// Restores earlier contents, with their revision and their cluster. From now on, existing
    /// handles fail as [`Restored`](crate::RegistryErrorKind::Restored), and those on another
    /// cluster as [`WrongCluster`](crate::RegistryErrorKind::WrongCluster).
    pub fn restore(&self, snapshot: MemorySnapshot) {
        self.core
            .with(|state, _| state.replace_contents(snapshot.cluster, snapshot.store));
    }

    /// Queues a fault for the next call of an operation. Several faults of one operation apply to
    /// its calls in the order in which they were queued. Calls while the registry is away or
    /// refusing consume no fault.
    pub fn inject(&self, operation: MemoryOperation, fault: MemoryFault) {
        self.core
            .with(|state, _| state.faults.inject(operation, fault));
    }

    /// Makes the registry unreachable, or reachable again. A call that is made while it is away is
    /// never answered, requests that arrive are lost, and watches are silent. Leases still expire,
    /// and watches report that once the registry is back.
    pub fn set_away(&self, away: bool) {
        self.core.with(|state, _| state.set_away(away));
    }

    /// Makes every call fail as unavailable with nothing done, or stops doing so. Watches end with
    /// the same error. While the registry is also [away](Self::set_away), it acts as if it were
    /// only away.
    pub fn set_refusing(&self, refusing: bool) {
        self.core.with(|state, _| state.set_refusing(refusing));
    }

    /// Fills the storage, or makes room again. While it is full, no lease is granted and nothing is
    /// registered: such calls fail as [`NoSpace`](crate::RegistryErrorKind::NoSpace). Leases can
    /// still be renewed, and names released.
    pub fn set_full(&self, full: bool) {
        self.core.with(|state, _| state.store.set_full(full));
    }

    /// Ends all leases at once and deletes their keys, like an operator who revokes them.
    pub fn expire_leases(&self) {
        self.core.with(|state, _| state.store.revoke_all());
    }

    /// Forgets the history of changes: a watch that has not yet seen the last change fails as
    /// compacted.
    pub fn compact(&self) {
        self.core.with(|state, _| state.store.compact());
    }

    /// Ends all open watches with an unavailable error.
    pub fn break_watches(&self) {
        self.core.with(|state, _| state.break_watches());
    }

    /// Makes all open watches miss everything from now on without ending, as if something between
    /// the registry and its reader swallowed the changes. Watches that are opened later work.
    pub fn mute_watches(&self) {
        self.core.with(|state, _| state.mute_watches());
    }

    /// Deletes a key under any lease, like an operator. Returns whether the key existed.
    pub fn delete(&self, key: &str) -> bool {
        self.core.with(|state, _| state.store.delete(key))
    }

    /// Puts a key without a lease, whether or not it exists, like an operator. An existing key
    /// keeps its create revision and leaves its lease.
    pub fn overwrite(&self, key: &str, value: impl Into<Bytes>) {
        let value = value.into();
        self.core
            .with(|state, _| state.store.overwrite(key.to_owned(), value));
    }

    /// Returns the current keys, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.core.with(|state, _| {
            let entries = state.store.list("").entries;
            entries.into_iter().map(|entry| entry.key).collect()
        })
    }

    /// Returns the current number of leases.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.core.with(|state, _| state.store.leases())
    }

    /// Returns the lease of a key.
    #[cfg(test)]
    pub(crate) fn lease_of(&self, key: &str) -> Option<LeaseId> {
        self.core
            .with(|state, _| state.store.entry(key).and_then(|entry| entry.lease))
    }

    /// Ends a lease and deletes its keys, like an operator who revokes it.
    #[cfg(test)]
    pub(crate) fn revoke_lease(&self, lease: LeaseId) {
        self.core.with(|state, _| state.store.revoke(lease));
    }

    /// Makes every renewal of a lease fail from now on, with nothing done.
    #[cfg(test)]
    pub(crate) fn refuse_renewals_of(&self, lease: LeaseId) {
        self.core
            .with(|state, _| state.store.refuse_renewals(lease));
    }

    /// Returns how often an operation was called so far, whatever the outcome.
    #[must_use]
    pub fn calls(&self, operation: MemoryOperation) -> u64 {
        self.core.with(|state, _| state.faults.calls(operation))
    }
}

impl fmt::Debug for MemoryRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRegistry")
            .field("cluster", &self.cluster())
            .finish_non_exhaustive()
    }
}
