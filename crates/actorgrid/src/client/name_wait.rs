//! Lets requests and health watches wait until a name is registered.

use super::core::ClientCore;
use crate::error::RequestError;
use crate::name::Name;
use crate::registry::{Kind, keys};

impl ClientCore {
    /// Waits until this name is registered, however long the registry is unavailable meanwhile.
    /// Fails only if the namespace is invalid. Cancel safe.
    pub(super) async fn wait_for_name(&self, kind: Kind, name: &Name) -> Result<(), RequestError> {
        let key = keys::of(self.namespace()?, kind, name);
        self.name_waits.shared(&self.registry, key).await;
        Ok(())
    }
}
