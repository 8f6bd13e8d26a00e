//! The handle with which tests switch faults on and off.

use std::sync::Arc;
use std::time::Duration;

use crate::etcd_core::EtcdCore;
use crate::faults::{CallFault, CallKind, Conditions, FaultState};

/// Switches the faults of a [`MemoryEtcd`](crate::MemoryEtcd) on and off. It is cheap to clone, and
/// clones control the same server.
///
/// Every fault is off at first. [`heal`](Self::heal) switches all of them off again.
#[derive(Debug, Clone)]
pub struct Faults {
    core: Arc<EtcdCore>,
}

impl Faults {
    pub(crate) fn new(core: Arc<EtcdCore>) -> Self {
        Self { core }
    }

    /// Queues a fault for the next call of a kind. Several faults of one kind apply to its calls in
    /// the order in which they were queued.
    pub fn inject(&self, kind: CallKind, fault: CallFault) {
        self.core.with(|state, _| state.faults.inject(kind, fault));
    }

    /// Returns how often a call was made so far, whatever its outcome.
    #[must_use]
    pub fn calls(&self, kind: CallKind) -> u64 {
        self.core.with(|state, _| state.faults.calls(kind))
    }

    /// Lets leases end this much later than they are due.
    pub fn expire_late(&self, by: Duration) {
        self.core.with(|state, _| state.faults.late_expiry = by);
    }

    /// Ends all leases at once, each at a revision of its own, like an operator who revokes them.
    pub fn expire_leases(&self) {
        self.core.with(|state, _| {
            let leases: Vec<i64> = state.store.leases().collect();
            for lease in leases {
                // The lease exists, as it was just listed.
                let _ = state.store.revoke(lease);
            }
        });
    }

    /// Starts the time of all leases anew, as a new leader of etcd does.
    pub fn restart_leases(&self) {
        self.core.with(|state, now| {
            state.store.renew_all(now);
            state.identity.raft_term += 1;
        });
    }

    /// Answers renewals as if they were carried out, and does not, or stops doing so. The leases
    /// end.
    pub fn renew_falsely(&self, falsely: bool) {
        let set = |faults: &mut FaultState| faults.false_renewals = falsely;
        self.core.with(|state, _| set(&mut state.faults));
    }

    /// Compacts everything before the current revision.
    pub fn compact(&self) {
        self.core.with(|state, _| {
            // Fails if it is compacted already.
            let _ = state.store.compact(state.store.revision());
        });
    }

    /// Reports revisions in headers that lag behind by this much, like a member that has lost touch
    /// with its leader.
    pub fn lag_headers(&self, by: u32) {
        let set = |faults: &mut FaultState| faults.header_lag = by.into();
        self.core.with(|state, _| set(&mut state.faults));
    }

    /// Names another cluster in all headers, or the own one again.
    pub fn pretend_cluster(&self, cluster: Option<u64>) {
        let set = |faults: &mut FaultState| faults.foreign_cluster = cluster;
        self.core.with(|state, _| set(&mut state.faults));
    }

    /// Swallows all changes that watches would deliver, or stops doing so. Requests for progress
    /// are still answered, as if everything had been delivered.
    pub fn mute_watches(&self, muted: bool) {
        self.core.with(|state, _| state.faults.muted = muted);
    }

    /// Swallows the next so many messages in which watches would deliver changes.
    pub fn swallow_messages(&self, count: u64) {
        let set = |faults: &mut FaultState| faults.swallowed_messages = count;
        self.core.with(|state, _| set(&mut state.faults));
    }

    /// Fills the storage, or makes room again. While it is full, puts, transactions that contain
    /// one and grants of leases fail as "database space exceeded".
    pub fn fill(&self, full: bool) {
        self.core.with(|state, _| state.faults.full = full);
    }

    /// Makes all tokens of users invalid.
    pub fn expire_tokens(&self) {
        self.core.with(|state, _| state.access.expire_tokens());
    }

    /// Stops reading and writing on all connections without closing them, or resumes, like a
    /// process that is stopped. Time goes on meanwhile, so leases end.
    pub fn freeze(&self, frozen: bool) {
        let set = |conditions: &mut Conditions| conditions.frozen = frozen;
        self.core.set_conditions(set);
    }

    /// Closes all connections, and every new one at once, or stops doing so.
    pub fn refuse(&self, refusing: bool) {
        let set = |conditions: &mut Conditions| conditions.refusing = refusing;
        self.core.set_conditions(set);
    }

    /// Closes all connections. New ones are served.
    pub fn cut(&self) {
        self.core.set_conditions(|conditions| conditions.cuts += 1);
    }

    /// Switches every fault off, including those that are queued.
    pub fn heal(&self) {
        self.core.with(|state, _| state.faults.heal());
        self.core.set_conditions(|conditions| {
            conditions.frozen = false;
            conditions.refusing = false;
        });
    }
}
