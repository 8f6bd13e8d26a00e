//! A snapshot of a server's contents.

use std::fmt;

use crate::store::Store;

/// The contents of a [`MemoryEtcd`](crate::MemoryEtcd) at one moment: keys, leases, history, and
/// the id of the cluster.
#[derive(Clone)]
pub struct EtcdSnapshot {
    pub(crate) cluster: u64,
    pub(crate) store: Store,
}

impl EtcdSnapshot {
    /// Returns the revision of the contents.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.store.revision()
    }
}

impl fmt::Debug for EtcdSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdSnapshot")
            .field("cluster", &self.cluster)
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}
