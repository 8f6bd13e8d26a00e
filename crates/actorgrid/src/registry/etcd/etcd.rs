//! The handle on an etcd cluster, and how it connects.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::auth::Authenticator;
use super::dialer::wrong_cluster;
use super::endpoints::Endpoints;
use super::exchange::{self, Cluster};
use super::history::{Histories, History};
use super::security::Security;
use super::{txn, url};
use crate::environment::Environment;
use crate::registry::{RegistryError, RegistryErrorKind};
use crate::token::ClusterId;

/// The time limit for connecting.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for the other endpoints after the first one reports its cluster id. A slower
/// endpoint is checked when it is first used.
const CLUSTER_CHECK_GRACE: Duration = Duration::from_secs(1);

/// A handle on an etcd cluster.
///
/// It spawns only the tasks that open and drive its connections, which end with it and its watches.
pub(in crate::registry) struct Etcd {
    pub(super) cluster: Arc<Cluster>,
    /// The histories of this cluster and of those that were followed before.
    histories: Histories,
    /// The maximum width of a transaction, as far as any handle on the cluster knows.
    pub(super) width: Arc<AtomicUsize>,
}

impl Etcd {
    /// Connects to the cluster that the part of a URL after `etcd://` describes.
    pub(in crate::registry) async fn connect(
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
            let history = Arc::new(History::new(0));
            Ok(Cluster {
                endpoints,
                id,
                history,
            })
        };
        let cluster = in_time(environment, connecting).await?;
        tracing::debug!(cluster = %cluster.id, "connected to etcd");
        let histories = Histories::new(cluster.id, Arc::clone(&cluster.history));
        Ok(Self {
            histories,
            cluster: Arc::new(cluster),
            width: Arc::new(AtomicUsize::new(txn::MAX_WIDTH)),
        })
    }

    /// Returns a handle on the same cluster with dedicated connections.
    pub(super) fn dedicated(&self) -> Self {
        let cluster = Cluster {
            endpoints: self.cluster.endpoints.dedicated(),
            id: self.cluster.id,
            history: Arc::clone(&self.cluster.history),
        };
        Self {
            cluster: Arc::new(cluster),
            histories: self.histories.clone(),
            width: Arc::clone(&self.width),
        }
    }

    /// Connects to the cluster with this id at the same endpoints.
    pub(super) async fn follow_cluster(&self, id: ClusterId) -> Result<Self, RegistryError> {
        let (before, environment) = (&self.cluster, self.cluster.endpoints.environment());
        let following = async {
            let endpoints = before.endpoints.of_any_cluster();
            let found = find_cluster(environment, &endpoints).await?;
            endpoints.pin(found);
            if found != id {
                let text = format!("etcd is the cluster {found}, not {id}");
                return Err(RegistryError::new(RegistryErrorKind::WrongCluster, text));
            }
            // Includes the histories from before another cluster was followed.
            let known = self.histories.greatest(id);
            let history = Arc::new(History::new(known));
            let followed = Self {
                histories: self.histories.and(id, Arc::clone(&history)),
                cluster: Arc::new(Cluster {
                    endpoints,
                    id,
                    history,
                }),
                width: Arc::new(AtomicUsize::new(txn::MAX_WIDTH)),
            };
            if known > 0 {
                // Reading a key would not do: the user may lack the permission.
                let revision = followed.granted_at().await?;
                followed.cluster.history.answered(known, revision)?;
            }
            Ok(followed)
        };
        in_time(environment, following).await
    }
}

async fn in_time<T>(
    environment: &Environment,
    connecting: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    let connected = environment.timeout(CONNECT_TIMEOUT, connecting).await;
    connected.unwrap_or_else(|| {
        let text = "etcd did not reply within 5 s: check its endpoints and its health";
        Err(RegistryError::new(RegistryErrorKind::Unavailable, text))
    })
}

/// Asks all endpoints for their cluster. At least one must reply, and none may disagree.
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
    let others = async {
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
        .timeout(CLUSTER_CHECK_GRACE, others)
        .await
        .unwrap_or(Ok(()))?;
    endpoints.prefer(first);
    Ok(id)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::environment::Simulation;

    #[tokio::test(start_paused = true)]
    async fn an_unreachable_endpoint_reports_its_cause() {
        let environment = Simulation::new(7).environment();
        let connected = Etcd::connect(&environment, "127.0.0.1:2379").await;
        let error = connected.map(drop).unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Unavailable);
        let source = error.source().expect("the error has no source");
        assert!(source.is::<std::io::Error>(), "{source}");
    }
}
