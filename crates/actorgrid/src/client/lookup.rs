//! Reads the holder of a name from the registry, for requests and health checks.

use std::sync::Arc;

use super::core::ClientCore;
use super::locations::{Freshness, Location, LookupResult};
use crate::error::{RequestError, RequestErrorKind};
use crate::name::Name;
use crate::registry::{Entry, Kind, Registration, RegistryError, keys, read};

impl ClientCore {
    /// Returns the registration of one name, if there is one.
    pub(super) async fn find(
        &self,
        kind: Kind,
        name: &Name,
    ) -> Result<Option<Registration>, RequestError> {
        let namespace = self.namespace()?;
        let key = [keys::of(namespace, kind, name)];
        let found = self
            .registry_within_deadline()
            .exchange(|backend| backend.get(&key))
            .await
            .map_err(registry_failed)?;
        let prefix = keys::prefix(namespace, kind);
        let read = |entry: Entry| self.registration(&entry, &prefix, kind);
        Ok(found.into_iter().flatten().next().and_then(read))
    }

    /// Decodes an entry. An entry that cannot be decoded is logged and skipped.
    pub(super) fn registration(
        &self,
        entry: &Entry,
        prefix: &str,
        kind: Kind,
    ) -> Option<Registration> {
        match read(entry, prefix, kind, self.registry.cluster()) {
            Ok(registration) => Some(registration),
            Err(why) => {
                tracing::warn!(
                    key = entry.key,
                    why,
                    "skipped a registration that cannot be decoded"
                );
                None
            }
        }
    }

    /// Returns the location of a mailbox from the registry; `None` if nobody holds the name.
    /// Concurrent callers for one name share one lookup, and lookups of several names share a read.
    ///
    /// A location that [may lag](Freshness::MayLag) is good enough for a first try: if it is too
    /// old, its token gives it away. That nobody holds a name is always up to date.
    pub(super) async fn look_up(
        self: &Arc<Self>,
        name: &Name,
        freshness: Freshness,
    ) -> LookupResult {
        let lookup = || {
            let (core, name) = (self.clone(), name.clone());
            async move { core.read_location(&name, freshness).await }
        };
        self.locations.look_up(name, freshness, lookup).await
    }

    async fn read_location(&self, name: &Name, freshness: Freshness) -> LookupResult {
        self.counters.lookups.increment();
        if freshness == Freshness::MayLag
            && let Some(location) = self.read_location_at(name, freshness).await?
        {
            return Ok(Some(location));
        }
        self.read_location_at(name, Freshness::Linearizable).await
    }

    async fn read_location_at(&self, name: &Name, freshness: Freshness) -> LookupResult {
        let namespace = self.namespace()?;
        let key = keys::of(namespace, Kind::Mailbox, name);
        let found = self.lookups.read(key, freshness).await;
        let Some(entry) = found.map_err(registry_failed)? else {
            return Ok(None);
        };
        let prefix = keys::prefix(namespace, Kind::Mailbox);
        let cluster = self.registry.cluster();
        let found = read(&entry, &prefix, Kind::Mailbox, cluster).map_err(|why| {
            let text = format!("the registration of {name} cannot be decoded: {why}");
            RequestError::refused(RequestErrorKind::Registry, text)
        })?;
        Ok(Some(Location {
            peer: found.peer,
            address: found.address,
            token: found.token,
            capabilities: found.capabilities,
        }))
    }
}

/// Returns the error of a request that needed the registry.
pub(super) fn registry_failed(error: RegistryError) -> RequestError {
    let text = format!("the registry: {error}");
    RequestError::refused(RequestErrorKind::Registry, text).caused_by(error)
}
