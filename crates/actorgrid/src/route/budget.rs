//! The memory that messages may take while they arrive.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// 64 messages of the default largest size at once.
const TOTAL_KIB: usize = 256 * 1024;

/// The bytes that arriving messages may take together, on all connections of a peer. Only a
/// message that does not arrive whole in its first part waits for its share; what would be more
/// waits, and flow control holds its sender back.
#[derive(Debug, Clone)]
pub(super) struct ByteBudget {
    kib: Arc<Semaphore>,
    total_kib: usize,
}

/// A part of the budget. Dropped, it is free again.
#[derive(Debug)]
pub(super) struct ByteShare {
    _kib: Option<OwnedSemaphorePermit>,
}

impl ByteBudget {
    /// A budget of 256 MiB.
    pub(super) fn new() -> Self {
        Self::of_kib(TOTAL_KIB)
    }

    pub(super) fn of_kib(total_kib: usize) -> Self {
        Self {
            kib: Arc::new(Semaphore::new(total_kib)),
            total_kib,
        }
    }

    /// Waits for a share of this many bytes; one that is larger than the budget takes all of it.
    /// Cancel safe.
    pub(super) async fn take(&self, bytes: usize) -> ByteShare {
        let kib = bytes.div_ceil(1024).min(self.total_kib);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        // The semaphore is never closed, so this never fails.
        let share = self.kib.clone().acquire_many_owned(kib).await.ok();
        ByteShare { _kib: share }
    }

    #[cfg(test)]
    pub(super) fn free_kib(&self) -> usize {
        self.kib.available_permits()
    }
}
