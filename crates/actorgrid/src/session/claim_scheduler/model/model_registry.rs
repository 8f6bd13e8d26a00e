//! The registry of the property tests of the claim scheduler.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use crate::registry::{
    Claim, ClaimOutcome, Entry, LeaseId, RaiseOutcome, RegistryError, RegistryErrorKind,
    value_with_nonce,
};
use crate::revision::Revision;
use crate::session::claim_event::ClaimEvent;
use crate::session::claim_exchange::ClaimExchange;

/// The lease with which every session begins.
pub(super) const FIRST: LeaseId = LeaseId(1);

/// A registry that carries out each request at once.
#[derive(Clone)]
pub(super) struct ModelRegistry {
    pub(super) revision: i64,
    pub(super) keys: BTreeMap<String, Entry>,
    /// The epoch key of each live lease.
    pub(super) epochs: BTreeMap<LeaseId, Entry>,
    /// The live leases.
    pub(super) leases: BTreeSet<LeaseId>,
    pub(super) last_lease: LeaseId,
    /// The claims that have committed and whose lease is not gone: nonce and revision.
    pub(super) committed: BTreeMap<u64, Revision>,
    /// The nonces of our orders, by the values that carry them.
    pub(super) nonces: BTreeMap<Bytes, u64>,
    /// Whether the registry was restored: then a claim that it has forgotten may commit again.
    pub(super) restored: bool,
}

impl ModelRegistry {
    pub(super) fn new() -> Self {
        let mut registry = Self {
            revision: 0,
            keys: BTreeMap::new(),
            epochs: BTreeMap::new(),
            leases: BTreeSet::new(),
            last_lease: LeaseId(0),
            committed: BTreeMap::new(),
            nonces: BTreeMap::new(),
            restored: false,
        };
        assert_eq!(registry.grant().0, FIRST);
        registry
    }

    /// Grants a lease, and puts its epoch key.
    pub(super) fn grant(&mut self) -> (LeaseId, Revision) {
        let at = self.advance();
        let lease = LeaseId(self.last_lease.0 + 1);
        self.last_lease = lease;
        self.leases.insert(lease);
        self.epochs.insert(lease, entry("epoch", 0, at, lease));
        (lease, at)
    }

    pub(super) fn advance(&mut self) -> Revision {
        self.revision += 1;
        Revision::new(self.revision)
    }

    pub(super) fn carry_out(&mut self, exchange: &ClaimExchange) -> ClaimEvent<u64, u64> {
        match exchange {
            ClaimExchange::Claim {
                id,
                lease,
                guard,
                claims,
            } => ClaimEvent::Claimed {
                id: *id,
                result: self.claim(*lease, *guard, claims),
            },
            ClaimExchange::Raise { lease } => ClaimEvent::Raised {
                lease: *lease,
                result: self.raise(*lease),
            },
            ClaimExchange::Read { id, keys } => ClaimEvent::Read {
                id: *id,
                result: Ok(keys.iter().map(|key| self.keys.get(key).cloned()).collect()),
            },
            ClaimExchange::Release { id, key, revision } => {
                let ours = |entry: &Entry| entry.created == *revision;
                if self.keys.get(key).is_some_and(ours) {
                    self.advance();
                    self.keys.remove(key);
                }
                ClaimEvent::Released {
                    id: *id,
                    result: Ok(()),
                }
            }
        }
    }

    pub(super) fn claim(
        &mut self,
        lease: LeaseId,
        guard: Revision,
        claims: &[Claim],
    ) -> Result<Vec<ClaimOutcome>, RegistryError> {
        if !self.leases.contains(&lease) {
            return Err(RegistryError::new(RegistryErrorKind::LeaseNotFound, ""));
        }
        let revision = self.advance();
        let mut outcomes = Vec::new();
        for claim in claims {
            let epoch = self.epochs.get(&lease).cloned();
            let found: Vec<_> = claim
                .puts
                .iter()
                .map(|(key, _)| self.keys.get(key).cloned())
                .collect();
            let guarded = epoch.as_ref().is_some_and(|epoch| epoch.modified == guard);
            if !guarded || found.iter().any(Option::is_some) {
                outcomes.push(ClaimOutcome::Refused { found, epoch });
                continue;
            }
            for (key, value) in &claim.puts {
                let mut put = entry(key, 0, revision, lease);
                put.value = value.clone();
                self.keys.insert(key.clone(), put);
            }
            let nonce = self.nonces[&claim.puts[0].1];
            let before = self.committed.insert(nonce, revision);
            assert!(before.is_none() || self.restored, "a claim committed twice");
            outcomes.push(ClaimOutcome::Won { revision });
        }
        Ok(outcomes)
    }

    pub(super) fn raise(&mut self, lease: LeaseId) -> Result<RaiseOutcome, RegistryError> {
        if !self.leases.contains(&lease) {
            return Err(RegistryError::new(RegistryErrorKind::LeaseNotFound, ""));
        }
        let revision = self.advance();
        Ok(match self.epochs.get_mut(&lease) {
            Some(epoch) => {
                epoch.modified = revision;
                RaiseOutcome::Raised(revision)
            }
            None => RaiseOutcome::Refused(None),
        })
    }

    /// Returns the keys that our session has put.
    pub(super) fn ours(&self) -> BTreeSet<String> {
        let ours = self.keys.values().filter(|entry| entry.lease.is_some());
        ours.map(|entry| entry.key.clone()).collect()
    }

    /// Returns one of the leases that were granted so far.
    pub(super) fn any_lease(&self, index: prop::sample::Index) -> LeaseId {
        LeaseId(1 + index.index(self.last_lease.0 as usize) as i64)
    }

    pub(super) fn lose_lease(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
        self.epochs.remove(&lease);
        self.keys.retain(|_, entry| entry.lease != Some(lease));
        let there: BTreeSet<Revision> = self.keys.values().map(|entry| entry.created).collect();
        self.committed
            .retain(|_, revision| there.contains(revision));
    }
}

pub(super) fn entry(key: &str, nonce: u64, at: Revision, lease: LeaseId) -> Entry {
    Entry {
        key: key.to_owned(),
        value: value_with_nonce(nonce),
        created: at,
        modified: at,
        lease: Some(lease),
    }
}
