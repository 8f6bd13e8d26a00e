//! How many requests of broadcasts a client has under way.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The requests of all broadcasts of a client that are under way at a time; further ones wait for
/// their turn. A thousand broadcasts at once must leave their peers' connections to others, who
/// would wait behind a million requests.
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
        // None would mean that the semaphore is closed, and nothing closes it.
        self.0.acquire().await.ok()
    }
}
