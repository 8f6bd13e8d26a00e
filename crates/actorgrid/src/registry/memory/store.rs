//! Keys, leases and recent changes, with the rules of etcd. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use crate::environment::Timestamp;
use crate::registry::{
    Change, ClaimBatch, ClaimOutcome, Entry, Lease, LeaseId, Listing, RaiseOutcome, RegistryError,
    RegistryErrorKind, Selector,
};
use crate::revision::Revision;

/// The number of changes to keep for watches. A thousand peers that join or leave with ten names
/// each fit; a watch that is further behind catches up sooner by listing again.
const MAX_HISTORY: usize = 10_000;

/// The contents of the registry: keys, leases, the revision and the recent changes.
///
/// It has no clock. The caller passes the time, and first expires the leases that are due.
#[derive(Debug, Clone)]
pub(super) struct Store {
    keys: BTreeMap<String, Entry>,
    leases: BTreeMap<LeaseId, LeaseRecord>,
    /// The leases by their expiry time.
    expiries: BTreeSet<(Timestamp, LeaseId)>,
    last_lease: i64,
    revision: Revision,
    /// All changes after `compacted`, in order of revision.
    history: VecDeque<Change>,
    compacted: Revision,
    /// Whether the storage is full, so that nothing more is stored.
    full: bool,
    /// The leases whose renewals fail.
    #[cfg(test)]
    unrenewable: BTreeSet<LeaseId>,
}

#[derive(Debug, Clone)]
struct LeaseRecord {
    ttl: Duration,
    expiry: Timestamp,
    keys: BTreeSet<String>,
}

/// The result of a search for the next changes.
#[derive(Debug)]
pub(super) enum NextChanges {
    /// The next revision with selected changes.
    At(Vec<Change>),
    /// No selected changes up to the current revision, which is given.
    NoneUpTo(Revision),
}

impl Store {
    /// Creates an empty store whose first change is at the revision after `revision`.
    pub(super) fn new(revision: Revision) -> Self {
        Self {
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            expiries: BTreeSet::new(),
            last_lease: 0,
            revision,
            history: VecDeque::new(),
            compacted: Revision::ZERO,
            full: false,
            #[cfg(test)]
            unrenewable: BTreeSet::new(),
        }
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn leases(&self) -> usize {
        self.leases.len()
    }

    pub(super) fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Fails if the storage is full. Like etcd, which refuses every request that might store
    /// something, even if it would not.
    fn has_space(&self) -> Result<(), RegistryError> {
        if self.full {
            let text = "the registry's storage is full";
            return Err(RegistryError::new(RegistryErrorKind::NoSpace, text));
        }
        Ok(())
    }

    pub(super) fn grant(&mut self, now: Timestamp, ttl: Duration) -> Result<Lease, RegistryError> {
        self.has_space()?;
        self.last_lease += 1;
        let id = LeaseId(self.last_lease);
        let held = LeaseRecord {
            ttl,
            expiry: now + ttl,
            keys: BTreeSet::new(),
        };
        self.expiries.insert((held.expiry, id));
        self.leases.insert(id, held);
        Ok(Lease { id, ttl })
    }

    pub(super) fn renew(&mut self, now: Timestamp, id: LeaseId) -> Result<Duration, RegistryError> {
        #[cfg(test)]
        if self.unrenewable.contains(&id) {
            let text = "this lease cannot be renewed";
            return Err(RegistryError::new(RegistryErrorKind::Unavailable, text));
        }
        let held = self.leases.get_mut(&id).ok_or_else(lease_not_found)?;
        self.expiries.remove(&(held.expiry, id));
        held.expiry = now + held.ttl;
        self.expiries.insert((held.expiry, id));
        Ok(held.ttl)
    }

    /// Makes every renewal of a lease fail from now on.
    #[cfg(test)]
    pub(super) fn refuse_renewals(&mut self, id: LeaseId) {
        self.unrenewable.insert(id);
    }

    pub(super) fn remaining(&self, now: Timestamp, id: LeaseId) -> Option<Duration> {
        self.leases.get(&id).map(|held| held.expiry.since(now))
    }

    /// Ends a lease and deletes its keys at one revision, in order.
    pub(super) fn revoke(&mut self, id: LeaseId) {
        let Some(held) = self.leases.remove(&id) else {
            return;
        };
        self.expiries.remove(&(held.expiry, id));
        let revision = self.revision.next();
        for key in held.keys {
            self.delete_at(revision, &key);
        }
        self.commit();
    }

    /// Ends every lease, each at a separate revision.
    pub(super) fn revoke_all(&mut self) {
        while let Some((&id, _)) = self.leases.first_key_value() {
            self.revoke(id);
        }
    }

    /// Returns which lease ends next, and when.
    pub(super) fn next_expiry(&self) -> Option<(Timestamp, LeaseId)> {
        self.expiries.first().copied()
    }

    pub(super) fn claim(&mut self, batch: ClaimBatch) -> Result<Vec<ClaimOutcome>, RegistryError> {
        let mut keys = HashSet::new();
        let puts = batch.claims.iter().flat_map(|claim| &claim.puts);
        if !puts.into_iter().all(|(key, _)| keys.insert(key)) {
            return Err(RegistryError::new(
                RegistryErrorKind::Unavailable,
                "a key is in the batch twice",
            ));
        }
        self.has_space()?;
        let epoch = batch.guard.as_ref().map(|guard| &guard.epoch);
        let epoch = epoch.and_then(|epoch| self.entry(epoch));
        let guarded = batch.guard.as_ref().is_none_or(|guard| {
            epoch
                .as_ref()
                .is_some_and(|epoch| epoch.modified == guard.modified)
        });
        // Compare everything before putting anything, as in one transaction.
        let absent = |(key, _): &(String, Bytes)| !self.keys.contains_key(key);
        let won: Vec<bool> = batch
            .claims
            .iter()
            .map(|claim| guarded && claim.puts.iter().all(absent))
            .collect();
        // Only a put requires the lease: if nothing is won, the outcomes are valid without it.
        if won.contains(&true) && !self.leases.contains_key(&batch.lease) {
            return Err(lease_not_found());
        }
        let revision = self.revision.next();
        let outcome = |(claim, won): (crate::registry::Claim, bool)| {
            if won {
                for (key, value) in claim.puts {
                    self.put_at(revision, key, value, Some(batch.lease));
                }
                ClaimOutcome::Won { revision }
            } else {
                ClaimOutcome::Refused {
                    found: claim.puts.iter().map(|(key, _)| self.entry(key)).collect(),
                    epoch: epoch.clone(),
                }
            }
        };
        let outcomes = batch.claims.into_iter().zip(won).map(outcome).collect();
        self.commit();
        Ok(outcomes)
    }

    pub(super) fn raise(
        &mut self,
        epoch: String,
        create_revision: Revision,
        lease: LeaseId,
        value: Bytes,
    ) -> Result<RaiseOutcome, RegistryError> {
        let modified = match self.keys.get(&epoch) {
            Some(entry) if entry.created == create_revision => entry.modified,
            other => return Ok(RaiseOutcome::Refused(other.cloned())),
        };
        if let Err(error) = self.has_space() {
            return Ok(RaiseOutcome::NoSpace { modified, error });
        }
        if !self.leases.contains_key(&lease) {
            return Err(lease_not_found());
        }
        self.put_at(self.revision.next(), epoch, value, Some(lease));
        self.commit();
        Ok(RaiseOutcome::Raised(self.revision))
    }

    pub(super) fn release(&mut self, key: &str, create_revision: Revision) -> bool {
        let mine = |entry: &Entry| entry.created == create_revision;
        self.keys.get(key).is_some_and(mine) && self.delete(key)
    }

    pub(super) fn entry(&self, key: &str) -> Option<Entry> {
        self.keys.get(key).cloned()
    }

    pub(super) fn list(&self, prefix: &str) -> Listing {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let entries = self.keys.range::<str, _>(from);
        let entries = entries.take_while(|(key, _)| key.starts_with(prefix));
        Listing {
            entries: entries.map(|(_, entry)| entry.clone()).collect(),
            revision: self.revision,
        }
    }

    /// Deletes a key. Returns false if it does not exist.
    pub(super) fn delete(&mut self, key: &str) -> bool {
        let deleted = self.delete_at(self.revision.next(), key);
        self.commit();
        deleted
    }

    /// Puts a key without a lease, whether or not it exists.
    pub(super) fn overwrite(&mut self, key: String, value: Bytes) {
        self.put_at(self.revision.next(), key, value, None);
        self.commit();
    }

    /// Forgets all changes so far.
    pub(super) fn compact(&mut self) {
        self.history.clear();
        self.compacted = self.revision;
    }

    /// Fails if `from` is later than the next revision: a caller can know such a revision only from
    /// another registry.
    pub(super) fn check_reached(&self, from: Revision) -> Result<(), RegistryError> {
        if from > self.revision.next() {
            return Err(RegistryError::new(
                RegistryErrorKind::Compacted,
                format!("the registry has not reached revision {from}"),
            ));
        }
        Ok(())
    }

    /// Returns the changes of the first revision from `from` on that changed selected keys.
    pub(super) fn changes(
        &self,
        selector: &Selector,
        from: Revision,
    ) -> Result<NextChanges, RegistryError> {
        if from <= self.compacted {
            return Err(RegistryError::new(
                RegistryErrorKind::Compacted,
                format!("the changes up to revision {} are gone", self.compacted),
            ));
        }
        let start = self
            .history
            .partition_point(|change| change.revision() < from);
        let mut selected = self
            .history
            .range(start..)
            .filter(|change| selector.selects(change.key()))
            .peekable();
        let Some(revision) = selected.peek().map(|change| change.revision()) else {
            return Ok(NextChanges::NoneUpTo(self.revision));
        };
        let same = selected.take_while(|change| change.revision() == revision);
        Ok(NextChanges::At(same.cloned().collect()))
    }

    fn put_at(&mut self, revision: Revision, key: String, value: Bytes, lease: Option<LeaseId>) {
        let before = self.keys.get(&key);
        let created = before.map_or(revision, |entry| entry.created);
        let detached = before.and_then(|entry| entry.lease);
        if let Some(held) = detached.and_then(|id| self.leases.get_mut(&id)) {
            held.keys.remove(&key);
        }
        if let Some(held) = lease.and_then(|id| self.leases.get_mut(&id)) {
            held.keys.insert(key.clone());
        }
        let entry = Entry {
            key: key.clone(),
            value,
            created,
            modified: revision,
            lease,
        };
        self.history.push_back(Change::Put(entry.clone()));
        self.keys.insert(key, entry);
    }

    fn delete_at(&mut self, revision: Revision, key: &str) -> bool {
        let Some(entry) = self.keys.remove(key) else {
            return false;
        };
        if let Some(held) = entry.lease.and_then(|id| self.leases.get_mut(&id)) {
            held.keys.remove(key);
        }
        let key = entry.key;
        self.history.push_back(Change::Deleted { key, revision });
        true
    }

    /// Ends a transaction: advances the revision if anything was changed, and forgets the oldest
    /// revisions beyond the limit, each as a whole. The newest revision is always kept.
    fn commit(&mut self) {
        if let Some(last) = self.history.back() {
            self.revision = self.revision.max(last.revision());
        }
        while self.history.len() > MAX_HISTORY {
            let Some(oldest) = self.history.front().map(Change::revision) else {
                return;
            };
            if oldest == self.revision {
                return;
            }
            let count = self
                .history
                .partition_point(|change| change.revision() == oldest);
            self.history.drain(..count);
            self.compacted = oldest;
        }
    }
}

fn lease_not_found() -> RegistryError {
    RegistryError::new(RegistryErrorKind::LeaseNotFound, "the lease is gone")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overwrite(store: &mut Store, key: &str) {
        store.overwrite(key.to_owned(), Bytes::new());
    }

    #[test]
    fn history_is_bounded_by_whole_revisions() {
        let mut store = Store::new(Revision::new(100));
        let lease = store
            .grant(Timestamp::ZERO, Duration::from_secs(9))
            .unwrap()
            .id;
        let puts = |prefix: &str, count: usize| crate::registry::Claim {
            puts: (0..count)
                .map(|i| (format!("{prefix}{i:05}"), Bytes::new()))
                .collect(),
        };
        let claim = |store: &mut Store, claims: Vec<crate::registry::Claim>| {
            let guard = None;
            let batch = ClaimBatch {
                lease,
                guard,
                claims,
            };
            store.claim(batch).unwrap()
        };
        claim(&mut store, vec![puts("a", 3)]);
        claim(&mut store, vec![puts("b", MAX_HISTORY - 1)]);
        assert_eq!(store.history.len(), MAX_HISTORY - 1);
        assert_eq!(store.compacted.get(), 101);
        overwrite(&mut store, "c");
        assert_eq!(store.history.len(), MAX_HISTORY);
        overwrite(&mut store, "c");
        assert_eq!((store.history.len(), store.compacted.get()), (2, 102));
        // One revision may exceed the limit, and is kept while it is the newest.
        store.revoke(lease);
        assert_eq!(store.history.len(), MAX_HISTORY + 2);
        let all = Selector::Prefix(String::new());
        assert!(store.changes(&all, Revision::new(104)).is_err());
        let Ok(NextChanges::At(changes)) = store.changes(&all, Revision::new(105)) else {
            panic!("the newest revision is gone");
        };
        assert_eq!(changes.len(), MAX_HISTORY + 2);
    }

    #[test]
    fn a_transaction_without_a_change_moves_no_revision() {
        let mut store = Store::new(Revision::new(100));
        let lease = store
            .grant(Timestamp::ZERO, Duration::from_secs(9))
            .unwrap()
            .id;
        store.revoke(lease);
        store.delete("a");
        store.release("a", Revision::ZERO);
        assert_eq!(store.revision().get(), 100);
    }

    #[test]
    fn a_key_leaves_its_lease_when_it_is_overwritten() {
        let mut store = Store::new(Revision::new(100));
        let lease = store
            .grant(Timestamp::ZERO, Duration::from_secs(9))
            .unwrap()
            .id;
        let puts = vec![("a".to_owned(), Bytes::new())];
        let batch = ClaimBatch {
            lease,
            guard: None,
            claims: vec![crate::registry::Claim { puts }],
        };
        store.claim(batch).unwrap();
        overwrite(&mut store, "a");
        store.revoke(lease);
        let entry = store.entry("a").unwrap();
        assert_eq!(
            (entry.created.get(), entry.modified.get(), entry.lease),
            (101, 102, None)
        );
    }
}
