//! The leases that the end of a session has to end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::environment::Timestamp;
use crate::registry::{Lease, LeaseId};

/// A lease that is not kept is certainly gone after this many times to live: a new leader of etcd
/// starts the time of every lease again.
const TTLS_UNTIL_GONE: u32 = 2;

/// The number of unused leases that are remembered, to be revoked at the end of the session.
/// Further ones expire.
const MAX_UNUSED: usize = 16;

/// The leases of a session that may exist in the registry, in the order in which they were granted:
/// those that it keeps by renewing them, and those that it does not use, which expire.
#[derive(Debug)]
pub(super) struct SessionLeases {
    first: LeaseId,
    /// Grows by a lease for each thousand names. Of the others there are at most [`MAX_UNUSED`].
    further: Mutex<Vec<FurtherLease>>,
}

#[derive(Debug)]
struct FurtherLease {
    id: LeaseId,
    /// When the lease is certainly gone, unless it is kept.
    gone: Option<Timestamp>,
}

impl FurtherLease {
    const fn is_kept(&self) -> bool {
        self.gone.is_none()
    }
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

    /// Returns all other leases; those with names come first.
    pub(super) fn further(&self) -> Vec<LeaseId> {
        let leases = self.lock();
        let (kept, unused): (Vec<_>, Vec<_>) = leases.iter().partition(|lease| lease.is_kept());
        kept.into_iter()
            .chain(unused)
            .map(|lease| lease.id)
            .collect()
    }

    /// Returns how many other leases the session keeps.
    pub(super) fn kept(&self) -> usize {
        let leases = self.lock();
        leases.iter().filter(|lease| lease.is_kept()).count()
    }

    /// Adds a lease that was granted by a request sent at `sent`, as soon as the registry has
    /// reported it. Forgets leases that are gone.
    pub(super) fn add(&self, lease: Lease, sent: Timestamp, now: Timestamp) {
        let mut leases = self.lock();
        leases.retain(|lease| lease.gone.is_none_or(|gone| now < gone));
        let mut unused = leases.iter().filter(|lease| !lease.is_kept());
        if let Some(oldest) = unused.next().map(|lease| lease.id)
            && unused.count() + 1 >= MAX_UNUSED
        {
            leases.retain(|lease| lease.id != oldest);
        }
        leases.push(FurtherLease {
            id: lease.id,
            gone: Some(sent + lease.ttl * TTLS_UNTIL_GONE),
        });
    }

    /// Records that a lease that was [added](Self::add) is renewed from now on. It is, before any
    /// name is registered under it.
    pub(super) fn keep(&self, id: LeaseId) {
        for lease in self.lock().iter_mut().filter(|lease| lease.id == id) {
            lease.gone = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FurtherLease>> {
        self.further.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TTL: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    fn lease(number: i64) -> Lease {
        Lease {
            id: LeaseId(number),
            ttl: TTL,
        }
    }

    #[test]
    fn leases_that_are_not_kept_are_forgotten_when_they_are_gone() {
        let leases = SessionLeases::new(LeaseId(0));
        leases.add(lease(1), at(0), at(1));
        leases.add(lease(2), at(10), at(12));
        leases.keep(LeaseId(2));
        leases.add(lease(3), at(20), at(29));
        assert_eq!(leases.further(), [2, 1, 3].map(LeaseId));
        leases.add(lease(4), at(30), at(30));
        assert_eq!(leases.further(), [2, 3, 4].map(LeaseId));
        assert_eq!((leases.first(), leases.kept()), (LeaseId(0), 1));
        for round in 5..500_u64 {
            let now = at(16 * round);
            leases.add(lease(round as i64), now, now);
            assert!(leases.further().len() <= 4, "{round}");
        }
        assert!(leases.further().contains(&LeaseId(2)));
    }

    #[test]
    fn few_unused_leases_are_remembered() {
        let leases = SessionLeases::new(LeaseId(0));
        leases.add(lease(1), at(0), at(0));
        leases.keep(LeaseId(1));
        for number in 2..100 {
            leases.add(lease(number), at(0), at(0));
        }
        let further = leases.further();
        assert_eq!((further.len(), further[0]), (1 + MAX_UNUSED, LeaseId(1)));
        assert_eq!(further.last(), Some(&LeaseId(99)));
    }
}
