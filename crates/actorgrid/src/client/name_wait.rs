//! How a client waits for a name to be registered.

use super::core::ClientCore;
use crate::error::RequestError;
use crate::name::Name;
use crate::registry::{Kind, keys};

impl ClientCore {
    /// Returns when this name is registered, however long the registry is away meanwhile. Fails
    /// only for an invalid namespace. Cancel safe.
    pub(super) async fn wait_for_name(&self, kind: Kind, name: &Name) -> Result<(), RequestError> {
        let key = keys::of(self.namespace()?, kind, name);
        self.name_waits.shared(&self.registry, key).await;
        Ok(())
    }
}
