//! The store of a registry, and what comes between it and its callers.

use std::collections::{BTreeMap, HashMap};

use crate::environment::Timestamp;
use crate::revision::Revision;
use crate::token::ClusterId;

use super::faults::Faults;
use super::store::Store;

/// A request on its way. It is given the store and the time of its arrival, or `None` if the
/// registry refuses it then; it is dropped if it is lost.
pub(super) type LateRequest = Box<dyn FnOnce(Option<(&mut Store, Timestamp)>) + Send>;

/// Whether and how the registry answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    Refusing,
    Away,
}

/// All that the clones of a registry share: the store and what comes between it and its
/// callers.
pub(super) struct MemoryState {
    pub(super) store: Store,
    cluster: ClusterId,
    /// How often another registry has taken its place, or an earlier state.
    age: u64,
    /// The revisions that the clusters had come to before another state took their place. Not
    /// limited: only a test or an operator does that.
    was_at: HashMap<ClusterId, Revision>,
    pub(super) faults: Faults,
    /// Requests on their way by the time of their arrival, and then in the order of their sending.
    /// Not limited: each comes from a fault that a test put in.
    late: BTreeMap<(Timestamp, u64), LateRequest>,
    sent: u64,
    away: bool,
    refusing: bool,
    /// How often the watches were broken; those that were opened before the last time end.
    breaks: u64,
    /// How often the watches were muted; those that were opened before the last time are silent.
    mutes: u64,
}

/// The part of the state that waiting watches depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    revision: Revision,
    presence: Presence,
    breaks: u64,
    due: Option<Timestamp>,
}

impl Mark {
    /// Whether a watch that looked at this mark has to look again at the later one. It wakes by
    /// itself when what is due is due: only what is due sooner concerns it.
    pub(super) fn wakes(self, later: Self) -> bool {
        let sooner = match (self.due, later.due) {
            (before, Some(now)) => before.is_none_or(|before| now < before),
            (_, None) => false,
        };
        sooner
            || Self {
                due: self.due,
                ..later
            } != self
    }
}

impl MemoryState {
    pub(super) fn new(cluster: ClusterId, store: Store) -> Self {
        Self {
            store,
            cluster,
            age: 0,
            was_at: HashMap::new(),
            faults: Faults::default(),
            late: BTreeMap::new(),
            sent: 0,
            away: false,
            refusing: false,
            breaks: 0,
            mutes: 0,
        }
    }

    /// Lets happen what was due up to `now`, each at its time and in the order of the times: leases
    /// end and late requests arrive. A lease that ends when a request arrives has ended before.
    pub(super) fn advance(&mut self, now: Timestamp) {
        loop {
            let expiry = self.store.next_expiry().filter(|(at, _)| *at <= now);
            let arrival = self.late.first_entry();
            let arrival = arrival.filter(|arrival| arrival.key().0 <= now);
            match (expiry, arrival) {
                (Some((at, lease)), arrival)
                    if arrival.as_ref().is_none_or(|arrival| at <= arrival.key().0) =>
                {
                    self.store.revoke(lease);
                    tracing::debug!(lease = lease.0, "lease expired");
                }
                (_, Some(arrival)) => {
                    let ((at, _), late) = arrival.remove_entry();
                    match self.presence() {
                        Presence::Here => late(Some((&mut self.store, at))),
                        Presence::Refusing => late(None),
                        Presence::Away => drop(late),
                    }
                }
                (_, None) => return,
            }
        }
    }

    /// When [`advance`](Self::advance) will have something to do.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let expiry = self.store.next_expiry().map(|(at, _)| at);
        let arrival = self.late.first_key_value().map(|((at, _), _)| *at);
        expiry.into_iter().chain(arrival).min()
    }

    pub(super) fn send_late(&mut self, at: Timestamp, late: LateRequest) {
        self.sent += 1;
        self.late.insert((at, self.sent), late);
    }

    /// An absent registry does not even refuse.
    pub(super) fn presence(&self) -> Presence {
        match (self.away, self.refusing) {
            (true, _) => Presence::Away,
            (false, true) => Presence::Refusing,
            (false, false) => Presence::Here,
        }
    }

    pub(super) fn set_away(&mut self, away: bool) {
        self.away = away;
    }

    pub(super) fn set_refusing(&mut self, refusing: bool) {
        self.refusing = refusing;
        if refusing {
            self.break_watches();
        }
    }

    pub(super) fn break_watches(&mut self) {
        self.breaks += 1;
    }

    pub(super) fn cluster(&self) -> ClusterId {
        self.cluster
    }

    pub(super) fn age(&self) -> u64 {
        self.age
    }

    /// Whether it is behind a revision that it had come to.
    pub(super) fn is_behind(&self) -> bool {
        let was_at = self.was_at.get(&self.cluster);
        was_at.is_some_and(|was_at| self.store.revision() < *was_at)
    }

    /// Another cluster takes the place of this one, or an earlier state.
    pub(super) fn take_in(&mut self, cluster: ClusterId, store: Store) {
        let was_at = self.was_at.entry(self.cluster).or_insert(Revision::ZERO);
        *was_at = self.store.revision().max(*was_at);
        self.cluster = cluster;
        self.store = store;
        self.age += 1;
        self.late.clear();
        self.break_watches();
    }

    pub(super) fn breaks(&self) -> u64 {
        self.breaks
    }

    pub(super) fn mute_watches(&mut self) {
        self.mutes += 1;
    }

    pub(super) fn mutes(&self) -> u64 {
        self.mutes
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            revision: self.store.revision(),
            presence: self.presence(),
            breaks: self.breaks,
            due: self.due(),
        }
    }
}
