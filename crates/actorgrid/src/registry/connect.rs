//! Connecting to a coordination service by its URL.

#[cfg(feature = "etcd")]
use std::sync::Arc;

use super::error::RegistryError;
use super::error_kind::RegistryErrorKind;
#[cfg(feature = "etcd")]
use super::etcd::Etcd;
use super::memory::MemoryRegistry;
use super::registry::Registry;
use crate::environment::Environment;

impl Registry {
    /// Connects to the registry at `url`.
    ///
    /// `memory:` makes a new registry that lives in this process: its peers are one grid as far as
    /// they share clones of it.
    ///
    /// `etcd://host:2379,host:2379` connects to the endpoints of one etcd cluster (feature
    /// `etcd`); a port that is left out is 2379. `user:password@` goes before the hosts, with
    /// what a URL reserves written as `%40`. After the hosts may follow `?tls=true`, or
    /// `?ca=FILE` and `&cert=FILE&key=FILE`, for connections over TLS (feature `tls`): PEM files
    /// of the authorities that vouch for etcd (default: the system's) and of the client's own
    /// certificate. The files are read once, here. Answers within 5 s.
    ///
    /// # Errors
    ///
    /// - [`RegistryErrorKind::Url`]: no registry of this build understands the URL.
    /// - [`RegistryErrorKind::Unavailable`]: no endpoint answers.
    /// - [`RegistryErrorKind::Auth`]: etcd refuses the user or the password.
    /// - [`RegistryErrorKind::Tls`]: no secured connection can be made.
    /// - [`RegistryErrorKind::WrongCluster`]: the endpoints belong to different clusters.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn connect(url: &str) -> Result<Self, RegistryError> {
        Self::connect_in(&Environment::real(), url).await
    }

    /// [`connect`](Self::connect) in another environment than the real one.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_in(environment: &Environment, url: &str) -> Result<Self, RegistryError> {
        if url == "memory:" {
            return Ok(MemoryRegistry::new(environment).registry());
        }
        if let Some(rest) = url.strip_prefix("etcd://") {
            return connect_etcd(environment, rest).await;
        }
        // The rest of it may hold a password.
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        Err(RegistryError::new(
            RegistryErrorKind::Url,
            format!(
                "no registry has URLs of the scheme {scheme:?}: use etcd://host:2379 or memory:"
            ),
        ))
    }
}

#[cfg(feature = "etcd")]
async fn connect_etcd(environment: &Environment, rest: &str) -> Result<Registry, RegistryError> {
    let backend = Etcd::connect(environment, rest).await?;
    Ok(Registry::of(Arc::new(backend)))
}

// Async, as it is with the feature.
#[cfg(not(feature = "etcd"))]
#[allow(clippy::unused_async)]
async fn connect_etcd(_: &Environment, _: &str) -> Result<Registry, RegistryError> {
    Err(RegistryError::new(
        RegistryErrorKind::Url,
        "this build has no etcd: enable the feature `etcd` of actorgrid",
    ))
}
