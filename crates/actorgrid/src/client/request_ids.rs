//! The ids of a client's requests.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::route::RequestId;

/// Creates the ids of a client's requests, and counts them.
#[derive(Debug)]
pub(super) struct RequestIds {
    /// The half of each id that identifies this client.
    client: u64,
    count: AtomicU64,
}

impl RequestIds {
    /// `client` must be random, so that no two clients share it.
    pub(super) const fn new(client: u64) -> Self {
        Self {
            client,
            count: AtomicU64::new(0),
        }
    }

    /// Returns the number of the next request.
    pub(super) fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the id of the request with this number.
    pub(super) fn of(&self, number: u64) -> RequestId {
        RequestId((u128::from(self.client) << 64) | u128::from(number))
    }

    /// Returns the number of ids created so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
