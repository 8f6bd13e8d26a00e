//! An earlier state of a registry.

use std::fmt;

use super::store::Store;
use crate::token::ClusterId;

/// The contents of a [`MemoryRegistry`](super::MemoryRegistry) at a moment, as a snapshot of etcd
/// holds them.
#[derive(Clone)]
pub struct MemorySnapshot {
    pub(super) cluster: ClusterId,
    pub(super) store: Store,
}

impl fmt::Debug for MemorySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemorySnapshot")
            .field(&self.store.revision())
            .finish()
    }
}
