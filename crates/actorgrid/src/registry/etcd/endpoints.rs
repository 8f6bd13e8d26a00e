//! The endpoints of a cluster, and the choice between them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::uri::InvalidUri;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::attempts::AttemptPace;
use super::auth::Authenticator;
use super::connection::{ConnectionTasks, EtcdConnection};
use super::dialer::Dialer;
use super::endpoint::Endpoint;
use super::security::Security;
use crate::address::Address;
use crate::environment::Environment;
use crate::registry::{RegistryError, RegistryErrorKind};
use crate::token::ClusterId;

/// How long to wait for an answer before an exchange that may be repeated is also sent to another
/// endpoint. Even the shortest time limit of a caller, 2/15 of the shortest lease (0.67 s), leaves
/// some time for that endpoint to answer.
const HEDGE_AFTER: Duration = Duration::from_millis(400);
/// The maximum number of exchanges that are under way to a further endpoint at once. Others wait
/// for their turn, so that a slow cluster does not get several times the load.
const MAX_HEDGES: usize = 64;

/// The endpoints of a cluster, with one connection each, and the choice between them.
///
/// The tasks that open and drive connections end when this is dropped.
pub(super) struct Endpoints {
    dialer: Arc<Dialer>,
    endpoints: Vec<Endpoint>,
    /// The endpoint that new exchanges try first.
    preferred: AtomicUsize,
    hedges: Semaphore,
    _close: DropGuard,
}

impl Endpoints {
    pub(super) fn new(
        environment: &Environment,
        addresses: Vec<Address>,
        security: Security,
        authenticator: Option<Authenticator>,
    ) -> Result<Self, RegistryError> {
        let scheme = security.scheme();
        let pace = Arc::new(AttemptPace::default());
        let endpoints = addresses.into_iter().map(|address| {
            let origin = format!("{scheme}://{address}")
                .parse()
                .map_err(|error: InvalidUri| {
                    let text = format!("{address} is not an endpoint: {error}");
                    RegistryError::new(RegistryErrorKind::Url, text).caused_by(error)
                })?;
            Ok(Endpoint::new(address, origin, &pace))
        });
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        // Begin with a random endpoint, so that not all processes load the first one of their URLs.
        let first = environment.random_unit() * endpoints.len() as f64;
        let authenticator = authenticator.map(Arc::new);
        Ok(Self::of(
            environment,
            endpoints,
            security,
            authenticator,
            first as usize,
        ))
    }

    fn of(
        environment: &Environment,
        endpoints: Vec<Endpoint>,
        security: Security,
        authenticator: Option<Arc<Authenticator>>,
        preferred: usize,
    ) -> Self {
        let closed = CancellationToken::new();
        let dialer = Dialer {
            environment: environment.clone(),
            security,
            authenticator,
            cluster: OnceLock::new(),
            tasks: ConnectionTasks {
                environment: environment.clone(),
                closed: closed.clone(),
            },
        };
        Self {
            dialer: Arc::new(dialer),
            endpoints,
            preferred: AtomicUsize::new(preferred),
            hedges: Semaphore::new(MAX_HEDGES),
            _close: closed.drop_guard(),
        }
    }

    /// Returns the same endpoints with dedicated connections, pinned to the same cluster if it is
    /// known. The connections are opened and driven by tasks on the runtime that first uses them.
    pub(super) fn dedicated(&self) -> Self {
        let dedicated = self.with(Endpoint::dedicated);
        if let Some(cluster) = self.dialer.cluster.get() {
            dedicated.pin(*cluster);
        }
        dedicated
    }

    /// Returns the same endpoints with dedicated connections, not pinned to any cluster.
    pub(super) fn of_any_cluster(&self) -> Self {
        // Failures of the previous cluster do not count.
        self.with(Endpoint::anew)
    }

    fn with(&self, endpoint: impl Fn(&Endpoint) -> Endpoint) -> Self {
        Self::of(
            &self.dialer.environment,
            self.endpoints.iter().map(endpoint).collect(),
            self.dialer.security.clone(),
            self.dialer.authenticator.clone(),
            self.preferred.load(Ordering::Relaxed),
        )
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.dialer.environment
    }

    pub(super) fn authenticator(&self) -> Option<&Authenticator> {
        self.dialer.authenticator.as_deref()
    }

    pub(super) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Returns the indexes of all endpoints in the order in which to try them: from the preferred
    /// one on, except that those that are silent or unreachable come last.
    pub(super) fn order(&self) -> Vec<usize> {
        let (first, count) = (self.preferred.load(Ordering::Relaxed), self.len());
        let mut order: Vec<_> = (0..count).map(|step| (first + step) % count).collect();
        if count > 1 {
            order.sort_by_cached_key(|index| !self.endpoints[*index].is_promising(&self.dialer));
        }
        order
    }

    pub(super) fn prefer(&self, index: usize) {
        self.preferred.store(index, Ordering::Relaxed);
    }

    /// Records that an endpoint may be faulty: the next exchange tries another one first.
    pub(super) fn suspect(&self, index: usize) {
        let next = (index + 1) % self.len();
        let order = Ordering::Relaxed;
        let _ = self.preferred.compare_exchange(index, next, order, order);
    }

    /// Waits until an unanswered exchange may also be sent to another endpoint.
    pub(super) async fn hedge(&self) -> Option<SemaphorePermit<'_>> {
        self.dialer.environment.sleep(HEDGE_AFTER).await;
        self.hedges.acquire().await.ok()
    }

    /// Pins the cluster, unless one is pinned already.
    pub(super) fn pin(&self, cluster: ClusterId) {
        self.dialer.cluster.get_or_init(|| cluster);
    }

    /// Fails if a reply came from a cluster other than the pinned one.
    pub(super) fn verify(&self, index: usize, cluster: ClusterId) -> Result<(), RegistryError> {
        self.dialer.verify(self.address(index), cluster)
    }

    /// Returns the current connection of an endpoint, or opens a new one.
    ///
    /// Before a new connection is returned, etcd has replied over it, and its cluster was verified.
    pub(super) async fn connection(
        &self,
        index: usize,
    ) -> Result<Arc<EtcdConnection>, RegistryError> {
        let opened = self.endpoints[index].connection(&self.dialer).await;
        opened.map(|(connection, _)| connection)
    }

    /// Returns the cluster of an endpoint, as reported when the connection was opened.
    pub(super) async fn cluster_at(&self, index: usize) -> Result<ClusterId, RegistryError> {
        let opened = self.endpoints[index].connection(&self.dialer).await;
        opened.map(|(_, cluster)| cluster)
    }

    /// Records that an endpoint has answered an exchange over this connection.
    pub(super) fn answered(&self, index: usize, connection: &EtcdConnection) {
        self.endpoints[index].answered(connection);
        self.prefer(index);
    }

    pub(super) fn address(&self, index: usize) -> &Address {
        self.endpoints[index].address()
    }
}
