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

/// The longest that connecting may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for the other endpoints after the first one reports its cluster id. One that
/// is later is asked when it is first used.
const CLUSTER_CHECK_GRACE: Duration = Duration::from_secs(1);

/// A handle on an etcd cluster.
///
/// It spawns nothing but what opens and drives its connections, which ends with it and its watches.
pub(in crate::registry) struct Etcd {
    pub(super) cluster: Arc<Cluster>,
    /// Of this cluster and of those that were followed before.
    histories: Histories,
    /// How wide a transaction may be, as far as is known to any handle on the cluster.
    pub(super) width: Arc<AtomicUsize>,
}

impl Etcd {
    /// Connects to what follows `etcd://` in a URL.
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

    /// The same cluster over connections of its own.
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

    /// The cluster of this id at the same endpoints.
    pub(super) async fn follow_cluster(&self, id: ClusterId) -> Result<Self, RegistryError> {
        let (before, environment) = (&self.cluster, self.cluster.endpoints.environment());
        let following = async {
            let endpoints = before.endpoints.of_any_cluster();
            let found = find_cluster(environment, &endpoints).await?;
            endpoints.pin(found);
            if found != id {
                let text = format!("etcd is the cluster {found}, and not {id}");
                return Err(RegistryError::new(RegistryErrorKind::WrongCluster, text));
            }
            // Also where another cluster was followed meanwhile.
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
                // No reading of a key would do: the user may not be allowed to.
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
        let text = "etcd did not answer within 5 s: check its endpoints and its health";
        Err(RegistryError::new(RegistryErrorKind::Unavailable, text))
    })
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
    async fn an_endpoint_that_cannot_be_reached_says_why() {
        let environment = Simulation::new(7).environment();
        let connected = Etcd::connect(&environment, "127.0.0.1:2379").await;
        let error = connected.map(drop).unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Unavailable);
        let source = error.source().expect("the cause is lost");
        assert!(source.is::<std::io::Error>(), "{source}");
    }
}
