//! Leases, their keys and their ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::error::EtcdError;

/// The longest time to live, in seconds, as in etcd.
const MAX_TTL: i64 = 9_000_000_000;
/// The shortest time to live, in seconds: etcd raises shorter ones to one and a half election
/// timeouts, rounded up, which is this at its default settings.
const MIN_TTL: i64 = 2;

/// The leases of a store. The caller passes the time.
#[derive(Debug, Clone, Default)]
pub(super) struct LeaseTable {
    leases: BTreeMap<i64, LeaseRecord>,
    expiries: BTreeSet<(Duration, i64)>,
}

#[derive(Debug, Clone)]
struct LeaseRecord {
    ttl: i64,
    expiry: Duration,
    keys: BTreeSet<Bytes>,
}

impl LeaseTable {
    /// Grants a lease, and returns its time to live in seconds.
    pub(super) fn grant(&mut self, now: Duration, id: i64, ttl: i64) -> Result<i64, EtcdError> {
        if ttl > MAX_TTL {
            return Err(EtcdError::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&id) {
            return Err(EtcdError::LeaseExists);
        }
        let ttl = ttl.max(MIN_TTL);
        let record = LeaseRecord {
            ttl,
            expiry: now + seconds(ttl),
            keys: BTreeSet::new(),
        };
        self.expiries.insert((record.expiry, id));
        self.leases.insert(id, record);
        Ok(ttl)
    }

    /// Starts the time of a lease anew, and returns its time to live in seconds.
    pub(super) fn renew(&mut self, now: Duration, id: i64) -> Option<i64> {
        let record = self.leases.get_mut(&id)?;
        self.expiries.remove(&(record.expiry, id));
        record.expiry = now + seconds(record.ttl);
        self.expiries.insert((record.expiry, id));
        Some(record.ttl)
    }

    /// Starts the time of every lease anew.
    pub(super) fn renew_all(&mut self, now: Duration) {
        let ids: Vec<i64> = self.leases.keys().copied().collect();
        for id in ids {
            self.renew(now, id);
        }
    }

    /// Removes a lease, and returns its keys in order.
    pub(super) fn remove(&mut self, id: i64) -> Option<BTreeSet<Bytes>> {
        let record = self.leases.remove(&id)?;
        self.expiries.remove(&(record.expiry, id));
        Some(record.keys)
    }

    /// Returns the lease that expires next, and when.
    pub(super) fn next_expiry(&self) -> Option<(Duration, i64)> {
        self.expiries.first().copied()
    }

    /// Returns the time at which a lease expires, and its time to live in seconds.
    pub(super) fn expiry(&self, id: i64) -> Option<(Duration, i64)> {
        let record = self.leases.get(&id)?;
        Some((record.expiry, record.ttl))
    }

    pub(super) fn keys(&self, id: i64) -> impl Iterator<Item = &Bytes> {
        self.leases
            .get(&id)
            .into_iter()
            .flat_map(|record| &record.keys)
    }

    /// Returns the leases, the one that expires next first.
    pub(super) fn ids(&self) -> impl Iterator<Item = i64> {
        self.expiries.iter().map(|(_, id)| *id)
    }

    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    pub(super) fn attach(&mut self, id: i64, key: &Bytes) {
        if let Some(record) = self.leases.get_mut(&id) {
            record.keys.insert(key.clone());
        }
    }

    pub(super) fn detach(&mut self, id: i64, key: &Bytes) {
        if let Some(record) = self.leases.get_mut(&id) {
            record.keys.remove(key);
        }
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}
