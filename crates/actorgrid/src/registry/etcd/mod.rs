//! The registry on etcd.
//!
//! `url` reads where the cluster is; `connection` speaks to one endpoint and `endpoints` picks one;
//! `exchange` asks, with `auth` and with what `status` says about failures; `txn` builds and reads
//! transactions; `kv`, `lease` and `watch` are the calls.

mod auth;
mod backend;
mod connection;
mod endpoints;
mod exchange;
mod kv;
mod lease;
mod status;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod txn;
mod url;
mod watch;
mod witness;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use auth::Authenticator;
use endpoints::{Endpoints, Security, wrong_cluster};
use exchange::Cluster;

use super::{RegistryError, RegistryErrorKind};
use crate::environment::Environment;
use crate::token::ClusterId;

/// The longest that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What other endpoints are waited for once one has told its cluster. One that is later is asked
/// when it is first used.
const COMPANY: Duration = Duration::from_secs(1);
/// The longest message that is taken: many times what etcd's own limits on requests, and our
/// pages, amount to.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A handle on an etcd cluster.
///
/// It spawns nothing but what drives its connections, which ends with it and its watches.
pub(super) struct Etcd {
    cluster: Arc<Cluster>,
    /// How wide a transaction may be, as far as is known.
    width: AtomicUsize,
}

impl Etcd {
    /// Connects to what follows `etcd://` in a URL.
    pub(super) async fn connect(
        environment: &Environment,
        rest: &str,
    ) -> Result<Self, RegistryError> {
        let target = url::parse(rest)?;
        let security = Security::of(target.tls.as_ref())?;
        let authenticator = target.credentials.map(Authenticator::new);
        let endpoints = Endpoints::new(environment, target.endpoints, security, authenticator)?;
        let connecting = async {
            let id = find_cluster(environment, &endpoints).await?;
            endpoints.pin(id);
            Ok(Cluster { endpoints, id })
        };
        let connected = environment.timeout(CONNECT_TIMEOUT, connecting).await;
        let cluster = connected.unwrap_or_else(|| {
            let text = "etcd did not answer within 5 s: check its endpoints and its health";
            Err(RegistryError::new(RegistryErrorKind::Unavailable, text))
        })?;
        tracing::debug!(cluster = %cluster.id, "connected to etcd");
        Ok(Self {
            cluster: Arc::new(cluster),
            width: AtomicUsize::new(txn::MAX_WIDTH),
        })
    }
}

/// Asks all endpoints for their cluster: one must answer, and none may disagree.
async fn find_cluster(
    environment: &Environment,
    endpoints: &Endpoints,
) -> Result<ClusterId, RegistryError> {
    let ask = |index| async move { (index, endpoints.cluster_at(index).await) };
    let mut answers: FuturesUnordered<_> = (0..endpoints.len()).map(ask).collect();
    let mut errors = Vec::new();
    let (first, id) = loop {
        match answers.next().await {
            Some((index, Ok(id))) => break (index, id),
            Some((_, Err(error))) => errors.push(error),
            None => return Err(exchange::join(&errors)),
        }
    };
    let company = async {
        while let Some((index, answer)) = answers.next().await {
            if let Ok(other) = answer
                && other != id
            {
                return Err(wrong_cluster(endpoints.address(index), other, id));
            }
        }
        Ok(())
    };
    environment
        .timeout(COMPANY, company)
        .await
        .unwrap_or(Ok(()))?;
    endpoints.prefer(first);
    Ok(id)
}
