//! Connects to a coordination service by its URL.

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
    /// `memory:` creates a new registry that lives in this process: peers can be in one grid only
    /// if they share clones of it.
    ///
    /// `etcd://host:2379,host:2379` connects to the endpoints of one etcd cluster (feature `etcd`).
    /// The port defaults to 2379. A user and a password go before the hosts as `user:password@`,
    /// with reserved characters percent-encoded (`%40` for `@`). For connections over TLS (feature
    /// `tls`), append `?tls=true`, or `?ca=FILE` and `&cert=FILE&key=FILE`: PEM files with the
    /// certificate authorities to trust (default: the system's) and with the client's own
    /// certificate and key. The files are read once, by this call. Returns within 5 s.
    ///
    /// # Errors
    ///
    /// - [`RegistryErrorKind::Url`]: the URL is invalid, or this build supports no such registry.
    /// - [`RegistryErrorKind::Unavailable`]: no endpoint answers.
    /// - [`RegistryErrorKind::Auth`]: etcd refuses the user or the password.
    /// - [`RegistryErrorKind::Tls`]: no connection over TLS can be established.
    /// - [`RegistryErrorKind::WrongCluster`]: the endpoints belong to different clusters.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn connect(url: &str) -> Result<Self, RegistryError> {
        Self::connect_in(&Environment::real(), url).await
    }

    /// Like [`connect`](Self::connect), in an environment other than the real one.
    ///
    /// # Errors
    ///
    /// The same as for [`connect`](Self::connect).
    pub async fn connect_in(environment: &Environment, url: &str) -> Result<Self, RegistryError> {
        if url == "memory:" {
            return Ok(MemoryRegistry::new(environment).registry());
        }
        if let Some(rest) = url.strip_prefix("etcd://") {
            return connect_etcd(environment, rest).await;
        }
        // Not the whole URL: the rest may contain a password.
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        Err(RegistryError::new(
            RegistryErrorKind::Url,
            format!("unknown registry URL scheme {scheme:?}: use etcd://host:2379 or memory:"),
        ))
    }
}

#[cfg(feature = "etcd")]
async fn connect_etcd(environment: &Environment, rest: &str) -> Result<Registry, RegistryError> {
    let backend = Etcd::connect(environment, rest).await?;
    Ok(Registry::of(Arc::new(backend)))
}

// Async, to have the same signature as with the feature.
#[cfg(not(feature = "etcd"))]
#[allow(clippy::unused_async)]
async fn connect_etcd(_: &Environment, _: &str) -> Result<Registry, RegistryError> {
    Err(RegistryError::new(
        RegistryErrorKind::Url,
        "this build does not support etcd: enable the feature `etcd` of actorgrid",
    ))
}
