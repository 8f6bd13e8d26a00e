//! A lease from the claim scheduler's point of view: its capacity for names, and the epoch that
//! guards its claims.

use crate::registry::LeaseId;
use crate::revision::Revision;

/// A lease under which the session claims names.
#[derive(Debug)]
pub(super) struct ClaimLease {
    id: LeaseId,
    epoch_created: Revision,
    /// The modification revision of the epoch key, as last reported.
    epoch_modified: Revision,
    /// The maximum number of names under the lease.
    capacity: usize,
    /// The number of names that are, or may be, registered under this lease: each counts from when
    /// its claim is sent until the claim has failed or the name is released.
    names: usize,
    raising: bool,
}

impl ClaimLease {
    /// Creates a lease without names, whose epoch key was created at `epoch_created` and not raised
    /// since.
    pub(super) fn new(id: LeaseId, epoch_created: Revision, capacity: usize) -> Self {
        Self {
            id,
            epoch_created,
            epoch_modified: epoch_created,
            capacity,
            names: 0,
            raising: false,
        }
    }

    pub(super) fn id(&self) -> LeaseId {
        self.id
    }

    /// Returns the maximum number of names under the lease.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn epoch_created(&self) -> Revision {
        self.epoch_created
    }

    /// Returns the modification revision that guards a claim sent now: the registry refuses the
    /// claim if the epoch key has another one.
    pub(super) fn guard(&self) -> Revision {
        self.epoch_modified
    }

    /// Whether a claim of this many names can be sent under this lease now. Not during a raise,
    /// because the registry refuses the claim if the raise reaches it first.
    pub(super) fn admits(&self, names: usize) -> bool {
        !self.raising && names <= self.capacity - self.names
    }

    /// Records that a claim of this many names is sent. The lease must [admit](Self::admits) it.
    pub(super) fn carry(&mut self, names: usize) {
        self.names += names;
    }

    /// Records that this many names are not registered, and that their claims can no longer
    /// register them.
    pub(super) fn drop_names(&mut self, names: usize) {
        self.names -= names;
    }

    /// Records a modification revision of the epoch key that the registry reported. Reports can
    /// arrive out of order.
    pub(super) fn epoch_reported(&mut self, modified: Revision) {
        self.epoch_modified = self.epoch_modified.max(modified);
    }

    pub(super) fn is_raising(&self) -> bool {
        self.raising
    }

    pub(super) fn raise_begins(&mut self) {
        self.raising = true;
    }

    pub(super) fn raise_ends(&mut self) {
        self.raising = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(capacity: usize) -> ClaimLease {
        ClaimLease::new(LeaseId(3), Revision::new(5), capacity)
    }

    #[test]
    fn carries_names_up_to_its_capacity() {
        let mut lease = lease(4);
        assert_eq!((lease.id(), lease.capacity()), (LeaseId(3), 4));
        assert!(lease.admits(4) && !lease.admits(5));
        lease.carry(1);
        lease.carry(2);
        assert!(lease.admits(1) && !lease.admits(2));
        lease.drop_names(2);
        assert!(lease.admits(3) && !lease.admits(4));
        lease.carry(3);
        assert!(!lease.admits(1));
    }

    #[test]
    fn admits_nothing_during_a_raise() {
        let mut lease = lease(4);
        assert!(!lease.is_raising());
        lease.raise_begins();
        assert!(lease.is_raising() && !lease.admits(1));
        lease.raise_ends();
        assert!(!lease.is_raising() && lease.admits(1));
    }

    #[test]
    fn guards_by_the_latest_epoch() {
        let mut lease = lease(4);
        assert_eq!(lease.guard(), Revision::new(5));
        lease.epoch_reported(Revision::new(9));
        lease.epoch_reported(Revision::new(7));
        assert_eq!(lease.guard(), Revision::new(9));
        assert_eq!(lease.epoch_created(), Revision::new(5));
    }
}
