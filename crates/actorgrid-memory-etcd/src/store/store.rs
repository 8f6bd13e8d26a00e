//! Keys with their versions, leases, and the log of changes, with the rules of etcd. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::change_log::{ChangeLog, revision_of};
use super::key_range::KeyRange;
use super::key_versions::{KeyVersions, weight};
use super::lease_table::LeaseTable;
use crate::bounds::Bounds;
use crate::error::EtcdError;
use crate::wire::event::EventType;
use crate::wire::{Event, KeyValue};

/// The revision of an empty store: the first change is at the next one.
const FIRST_REVISION: i64 = 1;

/// The contents of a server: everything that a snapshot contains.
///
/// It has no clock. The caller passes the time, and first ends the leases that are due.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    keys: BTreeMap<Bytes, KeyVersions>,
    /// The number of keys that exist now.
    live: usize,
    leases: LeaseTable,
    log: ChangeLog,
    revision: i64,
    /// Earlier revisions cannot be read, and watched only from this one on.
    compacted: i64,
    /// The sum of the [weights](weight) of the versions.
    bytes: usize,
}

/// Where a change belongs: its revision, which all changes of a transaction share.
#[derive(Debug)]
pub(crate) struct Write<'a> {
    store: &'a mut Store,
    changes: usize,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            keys: BTreeMap::new(),
            live: 0,
            leases: LeaseTable::default(),
            log: ChangeLog::default(),
            revision: FIRST_REVISION,
            // Compacting revision 0 succeeds once, as in etcd.
            compacted: -1,
            bytes: 0,
        }
    }

    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    pub(crate) fn compacted(&self) -> i64 {
        self.compacted
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether further keys and bytes fit.
    pub(crate) fn has_room(&self, bounds: &Bounds, keys: usize, bytes: usize) -> bool {
        self.live + keys <= bounds.max_keys && self.bytes + bytes <= bounds.max_bytes
    }

    /// Returns the keys of a range at a revision, in order. The revision must be readable.
    pub(crate) fn read(&self, range: &KeyRange, revision: i64) -> impl Iterator<Item = &KeyValue> {
        let found = self.keys.range::<[u8], _>(range.bounds());
        found.filter_map(move |(_, versions)| versions.at(revision))
    }

    /// Returns a key as it is now.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&KeyValue> {
        self.keys.get(key)?.latest()
    }

    /// Returns a key as it was at a revision, if that can still be read.
    pub(crate) fn get_at(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        let readable = revision >= self.compacted;
        self.keys.get(key).filter(|_| readable)?.at(revision)
    }

    /// Begins a transaction. Its changes have the next revision.
    pub(crate) fn write(&mut self) -> Write<'_> {
        Write {
            store: self,
            changes: 0,
        }
    }

    /// Returns the changes from a revision on, in order.
    pub(crate) fn changes(&self, from: i64) -> impl Iterator<Item = &Event> {
        self.log.from(from)
    }

    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), EtcdError> {
        if revision <= self.compacted {
            return Err(EtcdError::Compacted);
        }
        if revision > self.revision {
            return Err(EtcdError::FutureRevision);
        }
        self.compacted = revision;
        let removed: Vec<Event> = self.log.remove_before(revision).collect();
        let at = self.log.from(revision);
        let at = at.take_while(|event| revision_of(event) == revision);
        let keys: Vec<Bytes> = removed.iter().chain(at).map(key_of).collect();
        for key in keys {
            let Some(versions) = self.keys.get_mut(&key) else {
                continue;
            };
            self.bytes -= versions.compact(revision);
            if versions.is_empty() {
                self.keys.remove(&key);
            }
        }
        Ok(())
    }

    /// Compacts the oldest quarter of the history, if there is more than allowed.
    pub(crate) fn limit_history(&mut self, bounds: &Bounds) {
        if self.log.len() <= bounds.max_history {
            return;
        }
        let oldest = self.log.newest(bounds.max_history - bounds.max_history / 4);
        if let Some(oldest) = oldest.filter(|oldest| *oldest > self.compacted) {
            // It is above the compacted revision, and a change has it.
            let _ = self.compact(oldest);
        }
    }

    /// Grants a lease, and returns its time to live in seconds.
    pub(crate) fn grant(&mut self, now: Duration, id: i64, ttl: i64) -> Result<i64, EtcdError> {
        self.leases.grant(now, id, ttl)
    }

    /// Starts the time of a lease anew, and returns its time to live in seconds.
    pub(crate) fn renew(&mut self, now: Duration, id: i64) -> Option<i64> {
        self.leases.renew(now, id)
    }

    /// Starts the time of every lease anew.
    pub(crate) fn renew_all(&mut self, now: Duration) {
        self.leases.renew_all(now);
    }

    /// Ends a lease and deletes its keys at one revision, in order.
    pub(crate) fn revoke(&mut self, id: i64) -> Result<(), EtcdError> {
        let keys = self.leases.remove(id).ok_or(EtcdError::LeaseNotFound)?;
        let mut write = self.write();
        for key in keys {
            write.delete(&key);
        }
        write.commit();
        Ok(())
    }

    /// Returns the lease that expires next, and when.
    pub(crate) fn next_expiry(&self) -> Option<(Duration, i64)> {
        self.leases.next_expiry()
    }

    /// Returns the time at which a lease expires, and its time to live in seconds.
    pub(crate) fn expiry(&self, id: i64) -> Option<(Duration, i64)> {
        self.leases.expiry(id)
    }

    pub(crate) fn keys_of_lease(&self, id: i64) -> impl Iterator<Item = &Bytes> {
        self.leases.keys(id)
    }

    /// Returns the leases, the one that expires next first.
    pub(crate) fn leases(&self) -> impl Iterator<Item = i64> {
        self.leases.ids()
    }

    pub(crate) fn lease_count(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn has_lease(&self, id: i64) -> bool {
        self.leases.contains(id)
    }

    fn push(&mut self, version: KeyValue, event: EventType) {
        self.bytes += weight(&version);
        let event_kv = match event {
            EventType::Put => version.clone(),
            EventType::Delete => KeyValue {
                key: version.key.clone(),
                mod_revision: version.mod_revision,
                ..KeyValue::default()
            },
        };
        self.log.push(Event {
            r#type: event.into(),
            kv: Some(event_kv),
            prev_kv: None,
        });
        let versions = self.keys.entry(version.key.clone()).or_default();
        versions.push(version);
    }
}

impl Write<'_> {
    pub(crate) fn store(&self) -> &Store {
        self.store
    }

    /// Returns the revision that a read in this transaction sees and reports.
    pub(crate) fn revision(&self) -> i64 {
        self.store.revision + i64::from(self.changes > 0)
    }

    /// Puts a key. The lease must exist, or be zero for none.
    pub(crate) fn put(&mut self, key: &Bytes, value: Bytes, lease: i64) {
        let store = &mut *self.store;
        let revision = store.revision + 1;
        let before = store.get(key);
        let created = before.map_or(revision, |kv| kv.create_revision);
        let version = before.map_or(0, |kv| kv.version) + 1;
        let detached = before.map_or(0, |kv| kv.lease);
        store.live += usize::from(before.is_none());
        store.leases.detach(detached, key);
        store.leases.attach(lease, key);
        let kv = KeyValue {
            key: key.clone(),
            create_revision: created,
            mod_revision: revision,
            version,
            value,
            lease,
        };
        store.push(kv, EventType::Put);
        self.changes += 1;
    }

    /// Deletes a key. Returns false if it does not exist.
    pub(crate) fn delete(&mut self, key: &Bytes) -> bool {
        let store = &mut *self.store;
        let Some(before) = store.get(key) else {
            return false;
        };
        let lease = before.lease;
        store.leases.detach(lease, key);
        store.live -= 1;
        let deletion = KeyValue {
            key: key.clone(),
            mod_revision: store.revision + 1,
            ..KeyValue::default()
        };
        store.push(deletion, EventType::Delete);
        self.changes += 1;
        true
    }

    /// Deletes the keys of a range, and returns them as they were.
    pub(crate) fn delete_range(&mut self, range: &KeyRange) -> Vec<KeyValue> {
        let now = i64::MAX;
        let before: Vec<KeyValue> = self.store.read(range, now).cloned().collect();
        for kv in &before {
            self.delete(&kv.key);
        }
        before
    }

    /// Ends the transaction. Advances the revision if anything was changed, and returns it.
    pub(crate) fn commit(self) -> i64 {
        let revision = self.revision();
        self.store.revision = revision;
        revision
    }
}

fn key_of(event: &Event) -> Bytes {
    event
        .kv
        .as_ref()
        .map(|kv| kv.key.clone())
        .unwrap_or_default()
}
