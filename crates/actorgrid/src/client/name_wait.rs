//! How a client waits for a name to be registered.

use super::core::ClientCore;
use super::watch::WATCH_PAUSE;
use crate::error::RequestError;
use crate::name::Name;
use crate::registry::{KeyState, KeyWatch, Kind, keys};

impl ClientCore {
    /// Returns when this name is registered, however long the registry is away meanwhile. Fails
    /// only for an invalid namespace.
    pub(super) async fn wait_for_name(&self, kind: Kind, name: &Name) -> Result<(), RequestError> {
        let key = keys::of(self.namespace()?, kind, name);
        let mut states = KeyWatch::new(self.registry.clone(), key, WATCH_PAUSE);
        while states.next().await == KeyState::Absent {}
        Ok(())
    }
}
