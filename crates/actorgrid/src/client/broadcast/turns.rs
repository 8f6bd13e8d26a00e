//! Limits how many requests of broadcasts a client has under way.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The maximum number of requests under way of all broadcasts of a client; further ones wait for
/// their turn. A thousand broadcasts at once must leave their peers' connections usable for others,
/// which would otherwise wait behind a million requests.
const MAX_FAN_OUT: usize = 16 * 1024;

/// The turns that the requests of all broadcasts of a client take.
#[derive(Debug)]
pub(in crate::client) struct FanOutTurns(Semaphore);

impl FanOutTurns {
    pub(in crate::client) fn new() -> Self {
        Self(Semaphore::new(MAX_FAN_OUT))
    }

    /// Waits for a turn, which lasts until it is dropped.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // `None` would mean that the semaphore is closed, but nothing closes it.
        self.0.acquire().await.ok()
    }
}
