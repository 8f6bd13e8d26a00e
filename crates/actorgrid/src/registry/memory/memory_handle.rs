//! The knowledge that a handle on the memory registry has of it.

use tokio_util::sync::CancellationToken;

use super::state::{MemoryState, Presence};
use crate::registry::{RegistryError, RegistryErrorKind};
use crate::token::ClusterId;

/// The state of the registry when a handle on it was created, like the knowledge that a process has
/// of the etcd that it connected to.
#[derive(Debug)]
pub(super) struct MemoryHandle {
    pub(super) cluster: ClusterId,
    /// The clusters that the handle used before this one.
    left: Vec<ClusterId>,
    /// How often the registry had been replaced or restored.
    replacements: u64,
    pub(super) restored: CancellationToken,
}

impl MemoryHandle {
    pub(super) fn new(state: &MemoryState) -> Self {
        Self {
            cluster: state.cluster(),
            left: Vec::new(),
            replacements: state.replacements(),
            restored: CancellationToken::new(),
        }
    }

    /// Fails if another registry has replaced the one that the handle is bound to.
    pub(super) fn check(&self, state: &MemoryState) -> Result<(), RegistryError> {
        if state.presence() != Presence::Here || self.replacements == state.replacements() {
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
            let text = "the registry is at an earlier revision than before";
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
    let text = format!("the registry is now the cluster {}", state.cluster());
    RegistryError::new(RegistryErrorKind::WrongCluster, text)
}
