//! Who is registered.

use super::Client;
use super::locations::Location;
use crate::error::{RequestError, RequestErrorKind};
use crate::name::Name;
use crate::registry::{Entry, Kind, Registration, Registry, RegistryError, keys, read};

impl Client {
    /// All registrations of one kind, sorted by name: a linearizable read of the registry.
    ///
    /// # Errors
    ///
    /// [`Registry`](RequestErrorKind::Registry) when it does not answer within the
    /// [registry timeout](crate::ClientBuilder::registry_timeout), or within the client's default
    /// deadline if that is less. A registration that cannot be read is skipped,
    /// and logged.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[doc(alias("QueryC", "Query"))]
    pub async fn query(&self, kind: Kind) -> Result<Vec<Registration>, RequestError> {
        let prefix = keys::prefix(self.namespace()?, kind);
        let listing = self
            .bounded_by_deadline(self.inner.registry.backend().list(&prefix))
            .await
            .map_err(|error| failed(&error))?;
        let read = |entry| self.registration(&entry, &prefix, kind);
        Ok(listing.entries.into_iter().filter_map(read).collect())
    }

    /// The registration of one name, if there is one: a linearizable read of the registry.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn find(
        &self,
        kind: Kind,
        name: &Name,
    ) -> Result<Option<Registration>, RequestError> {
        let namespace = self.namespace()?;
        let key = [keys::of(namespace, kind, name)];
        let found = self
            .bounded_by_deadline(self.inner.registry.backend().get(&key))
            .await
            .map_err(|error| failed(&error))?;
        let prefix = keys::prefix(namespace, kind);
        let read = |entry: Entry| self.registration(&entry, &prefix, kind);
        Ok(found.into_iter().flatten().next().and_then(read))
    }

    /// Reads an entry; one that cannot be read is reported and skipped.
    pub(super) fn registration(
        &self,
        entry: &Entry,
        prefix: &str,
        kind: Kind,
    ) -> Option<Registration> {
        match read(entry, prefix, kind, self.inner.registry.backend().cluster()) {
            Ok(registration) => Some(registration),
            Err(why) => {
                tracing::warn!(
                    key = entry.key,
                    why,
                    "a registration cannot be read and is skipped"
                );
                None
            }
        }
    }

    /// Where a mailbox is, from the registry.
    pub(super) async fn look_up(&self, name: &Name) -> Result<Location, RequestError> {
        let namespace = self.namespace()?;
        let registry: Registry = self.inner.registry.clone();
        let environment = self.inner.environment.clone();
        let key = keys::of(namespace, Kind::Mailbox, name);
        let prefix = keys::prefix(namespace, Kind::Mailbox);
        let wanted = name.clone();
        let (limit, counters) = (self.inner.registry_timeout, self.inner.counters.clone());
        let lookup = move || {
            counters.lookups.increment();
            let (registry, environment) = (registry.clone(), environment.clone());
            let (keys, prefix, wanted) = ([key.clone()], prefix.clone(), wanted.clone());
            async move {
                let get = registry.backend().get(&keys);
                let found = environment
                    .timeout(limit, get)
                    .await
                    .unwrap_or_else(|| Err(RegistryError::no_reply()))
                    .map_err(|error| failed(&error))?;
                let entry = found
                    .into_iter()
                    .flatten()
                    .next()
                    .ok_or_else(|| RequestError::unknown_name(wanted.as_str()))?;
                let cluster = registry.backend().cluster();
                let Registration {
                    peer,
                    address,
                    token,
                    capabilities,
                    ..
                } = read(&entry, &prefix, Kind::Mailbox, cluster).map_err(|why| {
                    let text = format!("the registration of {wanted} cannot be read: {why}");
                    RequestError::refused(RequestErrorKind::Registry, text)
                })?;
                Ok(Location {
                    peer,
                    address,
                    token,
                    capabilities,
                })
            }
        };
        self.inner.locations.look_up(name, lookup).await
    }

    /// An exchange with the registry that a caller waits for.
    async fn bounded_by_deadline<T>(
        &self,
        exchange: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        self.inner
            .environment
            .timeout(
                self.inner.registry_timeout.min(self.inner.deadline),
                exchange,
            )
            .await
            .unwrap_or_else(|| Err(RegistryError::no_reply()))
    }

    /// An exchange with the registry, within its limit.
    pub(super) async fn bounded<T>(
        &self,
        exchange: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        self.inner
            .environment
            .timeout(self.inner.registry_timeout, exchange)
            .await
            .unwrap_or_else(|| Err(RegistryError::no_reply()))
    }
}

pub(super) fn failed(error: &RegistryError) -> RequestError {
    RequestError::refused(RequestErrorKind::Registry, format!("the registry: {error}"))
}
