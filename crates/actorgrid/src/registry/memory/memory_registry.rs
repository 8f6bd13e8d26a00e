//! The handle on a registry that lives in the process, and what a test does to it.

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
use crate::registry::Registry;
use crate::revision::Revision;
use crate::token::ClusterId;

/// A registry that lives in this process, with the semantics of etcd. Cheap to clone; clones share
/// it, and so do all [`Registry`] handles made from them.
///
/// For a grid within one process, and for tests: it can be made to fail in all the ways in which a
/// service across a network fails. It holds nothing on disk. Tokens of a later one compare with
/// none of an earlier one, as each draws its own
/// [`ClusterId`](crate::token::ClusterId).
///
/// ```
/// use actorgrid::{Environment, MemoryFault, MemoryOperation, MemoryRegistry};
///
/// let registry = MemoryRegistry::new(&Environment::real());
/// // The next registration is made, but who asked for it does not learn of it.
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
    /// An empty registry, with the clock and the randomness of this environment.
    #[must_use]
    pub fn new(environment: &Environment) -> Self {
        Self::connected(Arc::new(MemoryCore::new(environment)))
    }

    /// A handle as of a process that connects now.
    fn connected(core: Arc<MemoryCore>) -> Self {
        let handle = core.with(|state, _| Arc::new(MemoryHandle::new(state)));
        Self { core, handle }
    }

    /// A handle for servers and clients, as of a process that connects now: it keeps to the cluster
    /// and the history that are there.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::of(Arc::new(Self::connected(self.core.clone())))
    }

    /// The cluster that is there now.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.core.with(|state, _| state.cluster())
    }

    /// Puts another cluster in the place of this one: empty, with an id of its own. Handles that
    /// were made before fail as [`WrongCluster`](crate::RegistryErrorKind::WrongCluster) from now
    /// on.
    pub fn replace(&self) {
        let environment = &self.core.environment;
        let (cluster, store) = (
            ClusterId(environment.random_u64()),
            Store::new(Revision::new(1)),
        );
        self.core.with(|state, _| state.take_in(cluster, store));
    }

    /// The present contents.
    #[must_use]
    pub fn snapshot(&self) -> MemorySnapshot {
        self.core.with(|state, _| MemorySnapshot {
            cluster: state.cluster(),
            store: state.store.clone(),
        })
    }

    /// Goes back to earlier contents, their revision and their cluster. Handles that were made
    /// before fail as [`Restored`](crate::RegistryErrorKind::Restored) from now on; those on
    /// another cluster as [`WrongCluster`](crate::RegistryErrorKind::WrongCluster).
    pub fn restore(&self, snapshot: MemorySnapshot) {
        self.core
            .with(|state, _| state.take_in(snapshot.cluster, snapshot.store));
    }

    /// Queues a fault for the next call of an operation. Several faults of one operation meet its
    /// calls in the order in which they were queued; calls while the registry is away or refusing
    /// use up none.
    pub fn inject(&self, operation: MemoryOperation, fault: MemoryFault) {
        self.core
            .with(|state, _| state.faults.inject(operation, fault));
    }

    /// Takes the registry away, or brings it back. While it is away no call is answered, then or
    /// later; requests that arrive are lost; watches are silent. Leases go on to run out, and
    /// watches tell of it on return.
    pub fn set_away(&self, away: bool) {
        self.core.with(|state, _| state.set_away(away));
    }

    /// Lets every call fail as unavailable, with nothing done, or ends that. Watches end with the
    /// same error. While the registry is [away](Self::set_away) as well, it is only away.
    pub fn set_refusing(&self, refusing: bool) {
        self.core.with(|state, _| state.set_refusing(refusing));
    }

    /// Fills the storage, or makes room again. While it is full, no lease is granted and nothing is
    /// registered: such calls fail as [`NoSpace`](crate::RegistryErrorKind::NoSpace). Leases live
    /// on, and names are released.
    pub fn set_full(&self, full: bool) {
        self.core.with(|state, _| state.store.set_full(full));
    }

    /// Ends all leases at once and deletes their keys, as an operator who revokes them.
    pub fn expire_leases(&self) {
        self.core.with(|state, _| state.store.revoke_all());
    }

    /// Forgets the history of changes: a watch that has not yet seen the last of them fails as
    /// compacted.
    pub fn compact(&self) {
        self.core.with(|state, _| state.store.compact());
    }

    /// Ends all watches that are open with an error that says unavailable.
    pub fn break_watches(&self) {
        self.core.with(|state, _| state.break_watches());
    }

    /// Lets all watches that are open miss everything from now on, without an end of theirs, as if
    /// whatever is between the registry and its reader swallowed it. Watches that are opened later
    /// work.
    pub fn mute_watches(&self) {
        self.core.with(|state, _| state.mute_watches());
    }

    /// Deletes a key under any lease, as an operator. Returns whether it was there.
    pub fn delete(&self, key: &str) -> bool {
        self.core.with(|state, _| state.store.delete(key))
    }

    /// Puts a key under no lease, whatever is there, as an operator. A key that was there keeps its
    /// create revision and leaves its lease.
    pub fn overwrite(&self, key: &str, value: impl Into<Bytes>) {
        let value = value.into();
        self.core
            .with(|state, _| state.store.overwrite(key.to_owned(), value));
    }

    /// The keys that are there now, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.core.with(|state, _| {
            let entries = state.store.list("").entries;
            entries.into_iter().map(|entry| entry.key).collect()
        })
    }

    /// How many leases there are now.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.core.with(|state, _| state.store.leases())
    }

    /// How often an operation was called so far, with whatever outcome.
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
