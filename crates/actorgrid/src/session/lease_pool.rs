//! The leases of a session from the claim scheduler's point of view: which of them takes the names
//! of a claim, and when the session needs one more. Pure.
//!
//! A claim goes under the first lease with room, so the leases that were granted first fill up
//! again before another one is requested. A lease is never given back while the session lasts: that
//! no claim in doubt can still commit under it would have to be proven first, and an empty lease
//! costs little: its renewals, and a watch and reads of its epoch key.
//!
//! A lease is requested before names need it: as soon as the spare room is less than a lease (half
//! a lease while there is only one) beyond the claims that wait. Only one request is open at a
//! time, and all claims that wait share it.

use std::ops::Range;
use std::time::Duration;

use super::claim_event::MAX_NAMES;
use super::claim_lease::ClaimLease;
use super::claim_place::ClaimPlace;
use crate::registry::LeaseId;
use crate::revision::Revision;

/// The pause before a lease is requested again after the registry has granted none.
const REQUEST_PAUSE: Duration = Duration::from_secs(1);

/// The leases of one session; see the documentation of this module.
#[derive(Debug)]
pub(super) struct LeasePool {
    leases: Vec<ClaimLease>,
    /// The capacity of each further lease.
    names_per_lease: usize,
    /// Whether one more lease is requested.
    requested: bool,
    /// The number of requests that have failed since the last one that was granted.
    failures: u32,
}

impl LeasePool {
    /// Creates the leases of a session, which can be extended by leases for this many names.
    ///
    /// A lease must have room for the names of any one claim while it is empty. Otherwise that
    /// claim would wait forever, and so would all claims behind it.
    pub(super) fn new(
        leases: impl IntoIterator<Item = ClaimLease>,
        names_per_lease: usize,
    ) -> Self {
        let leases: Vec<_> = leases.into_iter().collect();
        debug_assert!(
            names_per_lease >= MAX_NAMES,
            "a lease has room for the names of any one claim"
        );
        Self {
            leases,
            names_per_lease,
            requested: false,
            failures: 0,
        }
    }

    /// Returns the lease under which a claim of this many names can be sent now.
    pub(super) fn place(&mut self, names: usize, place: ClaimPlace) -> Option<&mut ClaimLease> {
        let leases = self.leases_of(place);
        let mut leases = self.leases[leases].iter_mut();
        leases.find(|lease| lease.admits(names, place))
    }

    /// Whether a lease has room for a claim of this many names, which may have to wait for a raise.
    pub(super) fn has_room(&self, names: usize, place: ClaimPlace) -> bool {
        let mut leases = self.leases[self.leases_of(place)].iter();
        leases.any(|lease| names <= lease.room(place))
    }

    /// Returns the leases under which a claim may go.
    fn leases_of(&self, place: ClaimPlace) -> Range<usize> {
        match place {
            ClaimPlace::Any => 0..self.leases.len(),
            ClaimPlace::First => 0..self.leases.len().min(1),
        }
    }

    /// Returns the pause after which to request one more lease, if one is needed and none is
    /// requested. `waiting` is the number of names of the claims that wait.
    pub(super) fn request(&mut self, waiting: usize) -> Option<Duration> {
        let enough = waiting.saturating_add(self.kept_spare());
        if self.requested || self.spare() >= enough {
            return None;
        }
        self.requested = true;
        Some(match self.failures {
            0 => Duration::ZERO,
            _ => REQUEST_PAUSE,
        })
    }

    /// Returns how many places are to be spare beyond the claims that wait. A session that has more
    /// than one lease may need the next one soon.
    ///
    /// Each failure halves this: a registry that grants nothing is asked again only as names are
    /// claimed, and for claims that wait.
    fn kept_spare(&self) -> usize {
        let spare = match self.leases.len() {
            0 | 1 => self.names_per_lease / 2,
            _ => self.names_per_lease,
        };
        spare.checked_shr(self.failures).unwrap_or(0)
    }

    /// Adds the lease that was requested.
    pub(super) fn added(&mut self, id: LeaseId, epoch_created: Revision) {
        self.requested = false;
        self.failures = 0;
        let lease = ClaimLease::new(id, epoch_created, self.names_per_lease);
        self.leases.push(lease);
    }

    /// Records that the registry has granted no lease.
    pub(super) fn refused(&mut self) {
        self.requested = false;
        self.failures = self.failures.saturating_add(1);
    }

    /// Returns the lease with this id. It is always found: leases do not leave a session.
    pub(super) fn get(&mut self, id: LeaseId) -> Option<&mut ClaimLease> {
        self.leases.iter_mut().find(|lease| lease.id() == id)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut ClaimLease> {
        self.leases.iter_mut()
    }

    /// Returns how many more names fit, in whatever order claims of up to [`MAX_NAMES`] names come:
    /// a place that only a smaller claim can use does not count.
    fn spare(&self) -> usize {
        let room = |lease: &ClaimLease| lease.room(ClaimPlace::Any) / MAX_NAMES * MAX_NAMES;
        let rooms = self.leases.iter().map(room);
        rooms.fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests;
