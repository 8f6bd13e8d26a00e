//! The epoch key of a session, and the exchanges under it.

use bytes::Bytes;

use super::claim_event::ClaimEvent;
use super::claim_exchange::ClaimExchange;
use crate::registry::{ClaimBatch, Guard, LeaseId, TimedRegistry};
use crate::revision::Revision;

/// The epoch key of the session, which guards the claims under its lease.
pub(super) struct Epoch {
    pub(super) lease: LeaseId,
    pub(super) key: String,
    pub(super) value: Bytes,
    /// The revision at which this session created the key.
    pub(super) created: Revision,
}

impl Epoch {
    /// Carries out an exchange under this epoch, and returns its result as an event for the claim
    /// scheduler.
    ///
    /// With debug assertions, panics if a claim or a raise is under another lease: this epoch
    /// guards nothing there.
    pub(super) async fn carry_out<W, R>(
        &self,
        exchange: ClaimExchange,
        registry: &TimedRegistry,
    ) -> ClaimEvent<W, R> {
        match exchange {
            ClaimExchange::Claim {
                id,
                lease,
                guard,
                claims,
            } => {
                self.assert_guards(lease);
                let guard = Some(Guard {
                    epoch: self.key.clone(),
                    modified: guard,
                });
                let batch = ClaimBatch {
                    lease,
                    guard,
                    claims,
                };
                let result = registry.exchange(|backend| backend.claim(&batch)).await;
                ClaimEvent::Claimed { id, result }
            }
            ClaimExchange::Raise { lease } => {
                self.assert_guards(lease);
                let value = self.value.clone();
                let raise = registry
                    .exchange(|backend| backend.raise(&self.key, self.created, lease, value));
                let result = raise.await;
                ClaimEvent::Raised { lease, result }
            }
            ClaimExchange::Read { id, keys } => {
                let result = registry.exchange(|backend| backend.get(&keys)).await;
                ClaimEvent::Read { id, result }
            }
            ClaimExchange::Release { id, key, revision } => {
                let release = registry.exchange(|backend| backend.release(&key, revision));
                let result = release.await.map(|_| ());
                if let Err(error) = &result {
                    tracing::warn!(key, %error, "releasing a name failed, retrying");
                }
                ClaimEvent::Released { id, result }
            }
        }
    }

    fn assert_guards(&self, lease: LeaseId) {
        debug_assert_eq!(
            lease, self.lease,
            "a session claims under the lease of the epoch that guards the claim"
        );
    }
}
