//! An earlier state of a registry.

use std::fmt;

use super::store::Store;

/// The contents of a [`MemoryRegistry`](super::MemoryRegistry) at a moment, as a snapshot of etcd
/// holds them.
#[derive(Clone)]
pub struct MemorySnapshot(pub(super) Store);

impl fmt::Debug for MemorySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemorySnapshot")
            .field(&self.0.revision())
            .finish()
    }
}
