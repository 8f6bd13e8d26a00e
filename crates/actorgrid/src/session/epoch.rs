//! The epoch key of a lease, how it is put, and the exchanges under it.

use bytes::Bytes;

use crate::environment::Environment;
use crate::registry::{
    Claim, ClaimBatch, ClaimOutcome, Guard, LeaseId, RaiseOutcome, RegistryError, TimedRegistry,
};
use crate::revision::Revision;

/// Returns the value of a new epoch key.
pub(super) fn new_value(environment: &Environment) -> Bytes {
    Bytes::from(format!("{:016x}", environment.random_u64()))
}

/// Puts the first keys of a lease, among them its epoch key: all of them, or none if one of them
/// exists. Nothing guards this: nobody else knows the lease.
pub(super) async fn put_first(
    registry: &TimedRegistry,
    lease: LeaseId,
    puts: Vec<(String, Bytes)>,
) -> Result<Option<ClaimOutcome>, RegistryError> {
    let batch = ClaimBatch {
        lease,
        guard: None,
        claims: vec![Claim { puts }],
    };
    let put = registry.exchange(|backend| backend.claim(&batch));
    Ok(put.await?.into_iter().next())
}

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
