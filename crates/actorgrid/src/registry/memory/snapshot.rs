//! A snapshot of a memory registry.

use std::fmt;

use super::store::Store;
use crate::token::ClusterId;

/// The contents of a [`MemoryRegistry`](super::MemoryRegistry) at one moment, like a snapshot of
/// etcd.
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
