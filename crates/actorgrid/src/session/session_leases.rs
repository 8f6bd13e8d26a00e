//! The leases that the end of a session has to end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::registry::LeaseId;

/// The leases of a session that may exist in the registry, in the order in which they were granted:
/// those that it renews, and those that came too late to be used and are not revoked yet.
#[derive(Debug)]
pub(super) struct SessionLeases {
    first: LeaseId,
    /// Grows by a lease for each thousand names, and by one for each revocation that is not
    /// confirmed.
    further: Mutex<Vec<LeaseId>>,
}

impl SessionLeases {
    pub(super) fn new(first: LeaseId) -> Self {
        Self {
            first,
            further: Mutex::default(),
        }
    }

    /// Returns the lease of the peer's own registration.
    pub(super) fn first(&self) -> LeaseId {
        self.first
    }

    /// Returns all other leases.
    pub(super) fn further(&self) -> Vec<LeaseId> {
        self.lock().clone()
    }

    /// Adds a lease as soon as the registry has reported it, and so before it is used.
    pub(super) fn add(&self, lease: LeaseId) {
        self.lock().push(lease);
    }

    /// Removes a lease that the registry has confirmed to be gone.
    pub(super) fn remove(&self, lease: LeaseId) {
        self.lock().retain(|other| *other != lease);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<LeaseId>> {
        self.further.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
