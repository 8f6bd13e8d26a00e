//! The state of a server: its contents, and how it presents them. Pure.

use std::fmt;
use std::time::Duration;

use crate::access::Access;
use crate::bounds::Bounds;
use crate::error::EtcdError;
use crate::faults::FaultState;
use crate::identity::Identity;
use crate::numbers::Numbers;
use crate::store::Store;
use crate::wire::ResponseHeader;

/// Everything that a request can read or change.
pub(crate) struct EtcdState {
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    pub(crate) access: Access,
    pub(crate) faults: FaultState,
    pub(crate) bounds: Bounds,
    pub(crate) numbers: Numbers,
    /// The number of open watches.
    pub(crate) watches: usize,
    /// The requests that arrive later than they were sent, and when.
    late: Vec<(Duration, LateRequest)>,
    /// How often the contents were replaced by others.
    replacements: u64,
}

/// A request that arrives later than it was sent.
pub(crate) type LateRequest = Box<dyn FnOnce(&mut EtcdState, Duration) + Send>;

/// The marks by which watches see that something has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    revision: i64,
    compacted: i64,
    replacements: u64,
    next_event: Option<Duration>,
}

impl EtcdState {
    pub(crate) fn new(
        identity: Identity,
        access: Access,
        bounds: Bounds,
        numbers: Numbers,
    ) -> Self {
        Self {
            store: Store::new(),
            identity,
            access,
            faults: FaultState::default(),
            bounds,
            numbers,
            watches: 0,
            late: Vec::new(),
            replacements: 0,
        }
    }

    /// Returns the header of a reply at the current revision.
    pub(crate) fn header(&self) -> ResponseHeader {
        self.header_at(self.store.revision())
    }

    /// Returns the header of a reply at a revision.
    pub(crate) fn header_at(&self, revision: i64) -> ResponseHeader {
        let lagging = (revision - self.faults.header_lag).max(1);
        ResponseHeader {
            cluster_id: self.faults.foreign_cluster.unwrap_or(self.identity.cluster),
            member_id: self.identity.member,
            revision: if revision > 0 { lagging } else { revision },
            raft_term: self.identity.raft_term,
        }
    }

    /// Carries out what is due: leases end and late requests arrive, in the order of their times.
    pub(crate) fn settle(&mut self, now: Duration) {
        while let Some(due) = self.next_event().filter(|due| *due <= now) {
            if let Some(index) = self.late.iter().position(|(at, _)| *at <= due) {
                let (at, request) = self.late.remove(index);
                request(self, at);
            } else if let Some((_, lease)) = self.store.next_expiry() {
                // The lease exists, as it has an expiry.
                let _ = self.store.revoke(lease);
            }
            self.store.limit_history(&self.bounds);
        }
    }

    /// Returns when something happens without a request.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        let expiry = self.store.next_expiry();
        let expiry = expiry.map(|(at, _)| at + self.faults.late_expiry);
        let late = self.late.iter().map(|(at, _)| *at);
        late.chain(expiry).min()
    }

    /// Lets a request arrive at a later time.
    pub(crate) fn arrive_late(&mut self, at: Duration, request: LateRequest) {
        let position = self.late.partition_point(|(other, _)| *other <= at);
        self.late.insert(position, (at, request));
    }

    /// Replaces the contents.
    pub(crate) fn replace(&mut self, cluster: u64, store: Store) {
        self.identity.cluster = cluster;
        self.store = store;
        self.late.clear();
        self.replacements += 1;
    }

    /// Fails if the storage is full, or would be with so many more keys and bytes.
    pub(crate) fn check_room(&self, keys: usize, bytes: usize) -> Result<(), EtcdError> {
        if self.faults.full || !self.store.has_room(&self.bounds, keys, bytes) {
            return Err(EtcdError::NoSpace);
        }
        Ok(())
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            revision: self.store.revision(),
            compacted: self.store.compacted(),
            replacements: self.replacements,
            next_event: self.next_event(),
        }
    }
}

impl fmt::Debug for EtcdState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdState")
            .field("identity", &self.identity)
            .field("revision", &self.store.revision())
            .finish_non_exhaustive()
    }
}
