//! A lease from the claim scheduler's point of view: its capacity for names, and the epoch that
//! guards its claims.

use super::claim_event::MAX_NAMES;
use super::claim_place::ClaimPlace;
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
    /// How many of them are kept for claims that need the first lease.
    kept: usize,
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
            kept: 0,
            names: 0,
            raising: false,
        }
    }

    /// Creates the lease of the peer's own registration, which keeps room for one claim that needs
    /// it.
    pub(super) fn first(id: LeaseId, epoch_created: Revision, capacity: usize) -> Self {
        Self {
            kept: MAX_NAMES,
            ..Self::new(id, epoch_created, capacity)
        }
    }

    pub(super) fn id(&self) -> LeaseId {
        self.id
    }

    pub(super) fn epoch_created(&self) -> Revision {
        self.epoch_created
    }

    /// Returns the modification revision that guards a claim sent now: the registry refuses the
    /// claim if the epoch key has another one.
    pub(super) fn guard(&self) -> Revision {
        self.epoch_modified
    }

    /// Returns how many more names the lease may carry.
    pub(super) fn room(&self, place: ClaimPlace) -> usize {
        let kept = match place {
            ClaimPlace::Any => self.kept,
            ClaimPlace::First => 0,
        };
        self.capacity.saturating_sub(self.names + kept)
    }

    /// Whether a claim of this many names can be sent under this lease now. Not during a raise,
    /// because the registry refuses the claim if the raise reaches it first.
    pub(super) fn admits(&self, names: usize, place: ClaimPlace) -> bool {
        !self.raising && names <= self.room(place)
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

    const ANY: ClaimPlace = ClaimPlace::Any;

    fn lease(capacity: usize) -> ClaimLease {
        ClaimLease::new(LeaseId(3), Revision::new(5), capacity)
    }

    #[test]
    fn carries_names_up_to_its_capacity() {
        let mut lease = lease(4);
        assert_eq!((lease.id(), lease.room(ANY)), (LeaseId(3), 4));
        assert!(lease.admits(4, ANY) && !lease.admits(5, ANY));
        lease.carry(1);
        lease.carry(2);
        assert!(lease.admits(1, ANY) && !lease.admits(2, ANY));
        lease.drop_names(2);
        assert!(lease.admits(3, ANY) && !lease.admits(4, ANY));
        lease.carry(3);
        assert!(!lease.admits(1, ANY));
        assert_eq!(lease.room(ClaimPlace::First), 0);
        lease.drop_names(1);
        assert!(lease.admits(1, ClaimPlace::First) && !lease.admits(2, ClaimPlace::First));
    }

    #[test]
    fn the_first_lease_keeps_room_for_one_claim_that_needs_it() {
        let mut lease = ClaimLease::first(LeaseId(3), Revision::new(5), 5);
        assert_eq!((lease.room(ANY), lease.room(ClaimPlace::First)), (3, 5));
        lease.carry(3);
        assert!(!lease.admits(1, ANY) && lease.admits(2, ClaimPlace::First));
        lease.carry(2);
        assert!(!lease.admits(1, ClaimPlace::First));
        // The room is kept again once the claim's names are released, in whatever order.
        lease.drop_names(3);
        assert_eq!((lease.room(ANY), lease.room(ClaimPlace::First)), (1, 3));
    }

    #[test]
    fn admits_nothing_during_a_raise() {
        let mut lease = lease(4);
        assert!(!lease.is_raising());
        lease.raise_begins();
        assert!(lease.is_raising() && !lease.admits(1, ANY));
        assert_eq!(lease.room(ANY), 4);
        lease.raise_ends();
        assert!(!lease.is_raising() && lease.admits(1, ANY));
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
