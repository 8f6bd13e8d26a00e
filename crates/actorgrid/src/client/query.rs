//! Queries: the registrations of one kind, or of one name.

use super::client::Client;
use super::lookup::registry_failed;
use crate::error::RequestError;
use crate::name::Name;
use crate::registry::{Kind, Registration, keys};

impl Client {
    /// Returns all registrations of one kind, sorted by name, by a linearizable read of the
    /// registry.
    ///
    /// # Errors
    ///
    /// Fails with [`Registry`](crate::RequestErrorKind::Registry) if the registry does not answer
    /// within the [registry timeout](crate::ClientBuilder::registry_timeout), or within the
    /// client's default deadline if that is shorter. A registration that cannot be decoded is
    /// logged and skipped.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[doc(alias("QueryC", "Query"))]
    pub async fn query(&self, kind: Kind) -> Result<Vec<Registration>, RequestError> {
        let core = self.core();
        let prefix = keys::prefix(core.namespace()?, kind);
        let listing = core
            .registry_within_deadline()
            .exchange(|backend| backend.list(&prefix))
            .await
            .map_err(registry_failed)?;
        let read = |entry| core.registration(&entry, &prefix, kind);
        Ok(listing.entries.into_iter().filter_map(read).collect())
    }

    /// Returns the registration of one name, if there is one, by a linearizable read of the
    /// registry.
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
        self.core().find(kind, name).await
    }
}
