//! How a client waits for a name to be registered.

use futures_util::StreamExt as _;

use super::core::ClientCore;
use super::watch::WATCH_PAUSE;
use crate::back_off::BackOff;
use crate::error::RequestError;
use crate::name::Name;
use crate::registry::{Change, Kind, RegistryError, Selector, keys};

impl ClientCore {
    /// Returns when this name is registered, however long the registry is away meanwhile. Fails
    /// only for an invalid namespace.
    pub(super) async fn wait_for_name(&self, kind: Kind, name: &Name) -> Result<(), RequestError> {
        let key = keys::of(self.namespace()?, kind, name);
        let registry = &self.registry;
        let environment = self.environment();
        let mut pauses = BackOff::new(WATCH_PAUSE);
        loop {
            let begun = environment.now();
            let waited = async {
                let read = registry.exchange(|backend| backend.read(&key)).await?;
                if !read.entries.is_empty() {
                    return Ok(());
                }
                let selector = Selector::Key(key.clone());
                let mut changes = registry
                    .exchange(|backend| backend.watch(&selector, read.revision.next()))
                    .await?;
                while let Some(batch) = changes.next().await {
                    if batch?.iter().any(|change| matches!(change, Change::Put(_))) {
                        return Ok(());
                    }
                }
                Err(RegistryError::no_reply())
            };
            if waited.await.is_ok() {
                return Ok(());
            }
            if environment.now().since(begun) >= WATCH_PAUSE.last_step() {
                pauses.reset();
            }
            let pause = pauses.next(environment.random_unit());
            environment.sleep(pause).await;
        }
    }
}
