//! What a handle on the registry in the process knows of it.

use tokio_util::sync::CancellationToken;

use super::state::{MemoryState, Presence};
use crate::registry::{RegistryError, RegistryErrorKind};
use crate::token::ClusterId;

/// The registry as it was when a handle on it was made: as a process knows the etcd that it has
/// connected to.
#[derive(Debug)]
pub(super) struct MemoryHandle {
    pub(super) cluster: ClusterId,
    /// The clusters that were known before this one.
    left: Vec<ClusterId>,
    /// How often it had been replaced or restored.
    age: u64,
    pub(super) restored: CancellationToken,
}

impl MemoryHandle {
    pub(super) fn new(state: &MemoryState) -> Self {
        Self {
            cluster: state.cluster(),
            left: Vec::new(),
            age: state.age(),
            restored: CancellationToken::new(),
        }
    }

    /// Fails if another registry has taken the place of the one that is known.
    pub(super) fn check(&self, state: &MemoryState) -> Result<(), RegistryError> {
        if state.presence() != Presence::Here || self.age == state.age() {
            return Ok(());
        }
        if self.cluster != state.cluster() {
            return Err(wrong_cluster(state));
        }
        self.restored.cancel();
        let text = "the registry was restored to an earlier revision";
        Err(RegistryError::restored(text))
    }

    pub(super) fn follow(
        &self,
        state: &MemoryState,
        cluster: ClusterId,
    ) -> Result<Self, RegistryError> {
        if cluster != state.cluster() {
            return Err(wrong_cluster(state));
        }
        let is_known = cluster == self.cluster || self.left.contains(&cluster);
        if is_known && state.is_behind() {
            let text = "the registry is at an earlier revision than it was";
            return Err(RegistryError::restored(text));
        }
        let mut left = self.left.clone();
        left.push(self.cluster);
        Ok(Self {
            left,
            ..Self::new(state)
        })
    }
}

fn wrong_cluster(state: &MemoryState) -> RegistryError {
    let text = format!("the registry is the cluster {} now", state.cluster());
    RegistryError::new(RegistryErrorKind::WrongCluster, text)
}
