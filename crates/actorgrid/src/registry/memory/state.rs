//! The state of a memory registry: its store, and the failures between the store and its callers.

use std::collections::{BTreeMap, HashMap};

use crate::environment::Timestamp;
use crate::revision::Revision;
use crate::token::ClusterId;

use super::faults::Faults;
use super::store::Store;

/// A request under way. It is called with the store and the time of its arrival, or with `None` if
/// the registry refuses it then; it is dropped if it is lost.
pub(super) type LateRequest = Box<dyn FnOnce(Option<(&mut Store, Timestamp)>) + Send>;

/// Whether the registry replies, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    Refusing,
    Away,
}

/// The state that the clones of a registry share: the store, and the failures between it and its
/// callers.
pub(super) struct MemoryState {
    pub(super) store: Store,
    cluster: ClusterId,
    /// How often the registry was replaced or restored.
    replacements: u64,
    /// The revisions that clusters had reached when they were replaced or restored. Not limited:
    /// only a test or an operator does that.
    reached: HashMap<ClusterId, Revision>,
    pub(super) faults: Faults,
    /// Requests under way, by arrival time and then in the order in which they were sent. Not
    /// limited: each comes from a fault that a test injected.
    late: BTreeMap<(Timestamp, u64), LateRequest>,
    sent: u64,
    away: bool,
    refusing: bool,
    /// How often the watches were broken; watches opened before the last time end.
    breaks: u64,
    /// How often the watches were muted; watches opened before the last time are silent.
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
    /// Whether a watch that looked at this mark has to look again at the later one. It sleeps until
    /// the next event is due, so it only needs a wake for an earlier event.
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
            replacements: 0,
            reached: HashMap::new(),
            faults: Faults::default(),
            late: BTreeMap::new(),
            sent: 0,
            away: false,
            refusing: false,
            breaks: 0,
            mutes: 0,
        }
    }

    /// Processes everything that is due up to `now`, in order of time: leases end and late requests
    /// arrive. A lease that ends at the time when a request arrives ends first.
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

    /// Returns when [`advance`](Self::advance) next has something to do.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let expiry = self.store.next_expiry().map(|(at, _)| at);
        let arrival = self.late.first_key_value().map(|((at, _), _)| *at);
        expiry.into_iter().chain(arrival).min()
    }

    pub(super) fn send_late(&mut self, at: Timestamp, late: LateRequest) {
        self.sent += 1;
        self.late.insert((at, self.sent), late);
    }

    /// Returns the presence. Being away takes precedence: an absent registry does not even refuse.
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

    pub(super) fn replacements(&self) -> u64 {
        self.replacements
    }

    /// Whether the cluster is behind a revision that it had reached.
    pub(super) fn is_behind(&self) -> bool {
        let reached = self.reached.get(&self.cluster);
        reached.is_some_and(|reached| self.store.revision() < *reached)
    }

    /// Replaces the contents with those of another cluster, or with an earlier state.
    pub(super) fn replace_contents(&mut self, cluster: ClusterId, store: Store) {
        let reached = self.reached.entry(self.cluster).or_insert(Revision::ZERO);
        *reached = self.store.revision().max(*reached);
        self.cluster = cluster;
        self.store = store;
        self.replacements += 1;
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
