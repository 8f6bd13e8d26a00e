//! The epoch key of a lease, and the exchanges under it.

use bytes::Bytes;

use crate::registry::{
    Claim, ClaimBatch, ClaimOutcome, Guard, LeaseId, RaiseOutcome, RegistryError, TimedRegistry,
};
use crate::revision::Revision;

/// The epoch key of a lease, which guards the claims under that lease.
pub(super) struct Epoch {
    pub(super) lease: LeaseId,
    pub(super) key: String,
    pub(super) value: Bytes,
    /// The revision at which this session created the key.
    pub(super) created: Revision,
}

impl Epoch {
    /// Sends claims under the lease of this epoch, which the registry refuses unless the epoch key
    /// has this modification revision.
    pub(super) async fn claim(
        &self,
        guard: Revision,
        claims: Vec<Claim>,
        registry: &TimedRegistry,
    ) -> Result<Vec<ClaimOutcome>, RegistryError> {
        let batch = ClaimBatch {
            lease: self.lease,
            guard: Some(Guard {
                epoch: self.key.clone(),
                modified: guard,
            }),
            claims,
        };
        registry.exchange(|backend| backend.claim(&batch)).await
    }

    /// Raises the modification revision of the epoch key.
    pub(super) async fn raise(
        &self,
        registry: &TimedRegistry,
    ) -> Result<RaiseOutcome, RegistryError> {
        let value = self.value.clone();
        let raise =
            registry.exchange(|backend| backend.raise(&self.key, self.created, self.lease, value));
        raise.await
    }
}
