//! The endpoints of a cluster: one connection each, and the choice between them.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;
use http::uri::InvalidUri;
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Status};

use super::auth::Authenticator;
use super::connection::{ConnectionTasks, EtcdConnection, Io};
use super::security::Security;
use super::status::{self, Meaning};
#[cfg(feature = "tls")]
use super::tls;
use super::witness::Witness;
use crate::address::Address;
use crate::environment::{Environment, Socket, Timestamp};
use crate::registry::{RegistryError, RegistryErrorKind};
use crate::token::ClusterId;
use crate::wire::etcd::StatusRequest;
use crate::wire::etcd::maintenance_client::MaintenanceClient;

/// The longest that a connection may take until etcd has answered over it: several round trips
/// around the world.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// An exchange that was given up after so long without an answer speaks against its endpoint. The
/// shortest time that callers give is 2/15 of the shortest lease, 0.67 s.
const SUSPICION: Duration = Duration::from_millis(250);

/// The endpoints of a cluster, one connection each, and which of them is used.
pub(super) struct Endpoints {
    environment: Environment,
    endpoints: Vec<Endpoint>,
    security: Security,
    /// Shared with the [dedicated](Endpoints::dedicated) endpoints, so that a password is checked
    /// once for all.
    authenticator: Option<Arc<Authenticator>>,
    /// The endpoint that new exchanges begin with.
    preferred: AtomicUsize,
    /// The cluster, once it is known: no other one is spoken to from then on.
    cluster: OnceLock<ClusterId>,
    tasks: ConnectionTasks,
    _close: DropGuard,
}

struct Endpoint {
    address: Address,
    origin: Uri,
    /// How often opening a connection has come to an end.
    opened: AtomicU64,
    state: Mutex<EndpointState>,
}

impl Endpoint {
    fn new(address: Address, origin: Uri) -> Self {
        Self {
            address,
            origin,
            opened: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }
}

/// The caller that opens a connection holds the lock on this; the others wait for the outcome.
#[derive(Default)]
struct EndpointState {
    connection: Option<Arc<EtcdConnection>>,
    failure: Option<RegistryError>,
}

impl Endpoints {
    pub(super) fn new(
        environment: &Environment,
        addresses: Vec<Address>,
        security: Security,
        authenticator: Option<Authenticator>,
    ) -> Result<Self, RegistryError> {
        let scheme = security.scheme();
        let endpoints = addresses.into_iter().map(|address| {
            let origin = format!("{scheme}://{address}")
                .parse()
                .map_err(|error: InvalidUri| {
                    let text = format!("{address} is not an endpoint: {error}");
                    RegistryError::new(RegistryErrorKind::Url, text).caused_by(error)
                })?;
            Ok(Endpoint::new(address, origin))
        });
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        // So that not all processes load the endpoint that their URLs name first.
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
        Self {
            environment: environment.clone(),
            endpoints,
            security,
            authenticator,
            preferred: AtomicUsize::new(preferred),
            cluster: OnceLock::new(),
            tasks: ConnectionTasks {
                environment: environment.clone(),
                closed: closed.clone(),
            },
            _close: closed.drop_guard(),
        }
    }

    /// The same endpoints of the same cluster, with connections of their own.
    pub(super) fn dedicated(&self) -> Self {
        let endpoints = self.endpoints.iter();
        let endpoints = endpoints
            .map(|endpoint| Endpoint::new(endpoint.address.clone(), endpoint.origin.clone()));
        let dedicated = Self::of(
            &self.environment,
            endpoints.collect(),
            self.security.clone(),
            self.authenticator.clone(),
            self.preferred.load(Ordering::Relaxed),
        );
        if let Some(cluster) = self.cluster.get() {
            dedicated.pin(*cluster);
        }
        dedicated
    }

    pub(super) fn authenticator(&self) -> Option<&Authenticator> {
        self.authenticator.as_deref()
    }

    pub(super) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// All endpoints, the preferred one first.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (self.preferred.load(Ordering::Relaxed), self.len());
        (0..count).map(move |step| (first + step) % count)
    }

    pub(super) fn prefer(&self, index: usize) {
        self.preferred.store(index, Ordering::Relaxed);
    }

    /// Something speaks against an endpoint: the next exchange begins with another.
    pub(super) fn suspect(&self, index: usize) {
        let next = (index + 1) % self.len();
        let order = Ordering::Relaxed;
        let _ = self.preferred.compare_exchange(index, next, order, order);
    }

    /// Pins the cluster.
    pub(super) fn pin(&self, cluster: ClusterId) {
        self.cluster.get_or_init(|| cluster);
    }

    /// An answer came from this cluster; an error when it is not the right one.
    pub(super) fn verify(&self, index: usize, cluster: ClusterId) -> Result<(), RegistryError> {
        match self.cluster.get() {
            Some(&pinned) if pinned != cluster => {
                let address = &self.endpoints[index].address;
                tracing::error!(
                    %address, %cluster, %pinned, "an etcd endpoint belongs to another cluster"
                );
                Err(wrong_cluster(address, cluster, pinned))
            }
            _ => Ok(()),
        }
    }

    /// The connection of an endpoint: the present one, or a new one.
    ///
    /// Over a new one, etcd has answered already, and said that it is of the right cluster.
    pub(super) async fn connection(
        &self,
        index: usize,
    ) -> Result<Arc<EtcdConnection>, RegistryError> {
        let endpoint = &self.endpoints[index];
        let before = endpoint.opened.load(Ordering::Acquire);
        let mut state = endpoint.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|held| held.is_usable()) {
            return Ok(Arc::clone(connection));
        }
        if let (true, Some(failure)) = (
            endpoint.opened.load(Ordering::Acquire) != before,
            &state.failure,
        ) {
            return Err(failure.clone());
        }
        state.connection = None;
        let opened = self.open(index).await;
        endpoint.opened.fetch_add(1, Ordering::AcqRel);
        match opened {
            Ok((connection, _)) => {
                state.failure = None;
                state.connection = Some(Arc::clone(&connection));
                Ok(connection)
            }
            Err(error) => {
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// The cluster that an endpoint belongs to, asked over a new connection.
    pub(super) async fn cluster_at(&self, index: usize) -> Result<ClusterId, RegistryError> {
        let mut state = self.endpoints[index].state.lock().await;
        let (connection, cluster) = self.open(index).await?;
        state.connection = Some(connection);
        Ok(cluster)
    }

    pub(super) fn address(&self, index: usize) -> &Address {
        &self.endpoints[index].address
    }

    async fn open(&self, index: usize) -> Result<(Arc<EtcdConnection>, ClusterId), RegistryError> {
        let address = &self.endpoints[index].address;
        let opening = self.environment.timeout(OPEN_TIMEOUT, self.greet(index));
        let (connection, cluster) = opening
            .await
            .unwrap_or_else(|| Err("no answer in time".into()))
            .map_err(|error| unreachable(address, error))?;
        self.verify(index, cluster)?;
        Ok((Arc::new(connection), cluster))
    }

    async fn greet(&self, index: usize) -> Result<(EtcdConnection, ClusterId), OpenFailure> {
        let endpoint = &self.endpoints[index];
        let socket = self.environment.connect(&endpoint.address).await?;
        self.speak(endpoint, socket).await.map_err(|error| {
            // Of a cluster that has answered before it is taken that it still speaks TLS.
            if self.security.is_plain() || self.cluster.get().is_some() || error.is::<Status>() {
                error
            } else {
                Box::new(BrokeOff(error))
            }
        })
    }

    async fn speak(
        &self,
        endpoint: &Endpoint,
        socket: Socket,
    ) -> Result<(EtcdConnection, ClusterId), OpenFailure> {
        let io: Box<dyn Io> = match &self.security {
            Security::Plain => Box::new(socket),
            #[cfg(feature = "tls")]
            Security::Tls(tls) => tls.secure(endpoint.address.host(), socket).await?,
        };
        let witness = Witness::default();
        let io = witness.watch(io);
        let connection = EtcdConnection::begin(&self.tasks, io, endpoint.origin.clone()).await?;
        match self.ask_cluster(&connection).await {
            Ok(cluster) => Ok((connection, cluster)),
            Err(status) => Err(match (witness.take(), status::meaning(&status)) {
                (Some(error), _) => error.into(),
                (None, Meaning::NotSent | Meaning::Broken) => status.message().into(),
                (None, _) => status.into(),
            }),
        }
    }

    /// Some versions tell their cluster to anybody, others to users alone.
    async fn ask_cluster(&self, connection: &EtcdConnection) -> Result<ClusterId, Status> {
        let mut client =
            MaintenanceClient::with_origin(connection.transport(), connection.origin());
        let mut authenticated = false;
        loop {
            let mut request = Request::new(StatusRequest {});
            let mut shown = None;
            if let Some(authenticator) = &self.authenticator {
                let pass = authenticator.pass(connection).await?;
                pass.show(&mut request);
                shown = Some((authenticator, pass));
            }
            match (client.status(request).await, shown) {
                (Ok(reply), shown) => {
                    let header = reply.into_inner().header;
                    let header = header.ok_or_else(|| Status::internal("there is no header"))?;
                    let cluster = ClusterId(header.cluster_id);
                    // A pass of another cluster is worth nothing.
                    if let Some((authenticator, pass)) = shown
                        && self.cluster.get().is_some_and(|pinned| *pinned != cluster)
                    {
                        authenticator.forget(&pass);
                    }
                    return Ok(cluster);
                }
                (Err(status), Some((authenticator, pass)))
                    if !authenticated && status::meaning(&status) == Meaning::Token =>
                {
                    authenticated = true;
                    authenticator.forget(&pass);
                }
                (Err(status), _) => return Err(status),
            }
        }
    }

    /// Watches over an exchange with an endpoint until it is answered.
    pub(super) fn await_answer(&self, index: usize) -> Unanswered<'_> {
        Unanswered {
            endpoints: self,
            index,
            connection: None,
            since: self.environment.now(),
            answered: false,
        }
    }
}

/// An exchange without an answer so far. Dropped like that after a while, the caller gave up: the
/// endpoint may hang, or its connection lead nowhere.
pub(super) struct Unanswered<'a> {
    endpoints: &'a Endpoints,
    index: usize,
    connection: Option<Arc<EtcdConnection>>,
    since: Timestamp,
    answered: bool,
}

impl Unanswered<'_> {
    pub(super) fn goes_over(&mut self, connection: &Arc<EtcdConnection>) {
        self.connection = Some(Arc::clone(connection));
    }

    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let waited = self.endpoints.environment.now().since(self.since);
        if self.answered || waited < SUSPICION {
            return;
        }
        self.endpoints.suspect(self.index);
        if let Some(connection) = &self.connection {
            connection.retire();
        }
    }
}

pub(super) fn wrong_cluster(
    address: &Address,
    cluster: ClusterId,
    pinned: ClusterId,
) -> RegistryError {
    RegistryError::new(
        RegistryErrorKind::WrongCluster,
        format!("etcd at {address} belongs to the cluster {cluster}, and not to {pinned}"),
    )
}

fn unreachable(address: &Address, error: OpenFailure) -> RegistryError {
    let status = error.downcast_ref::<Status>();
    let said = status.map_or_else(|| error.to_string(), |status| status.message().to_owned());
    let mut text = format!("etcd at {address} cannot be reached: {said}");
    if let Some(meaning @ (Meaning::Token | Meaning::Refused(RegistryErrorKind::Auth))) =
        status.map(status::meaning)
    {
        return status::error(&meaning, &text).caused_by(error);
    }
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    #[cfg(feature = "tls")]
    let is_tls = tls::is_cause(&*error);
    #[cfg(not(feature = "tls"))]
    let is_tls = false;
    let kind = match is_tls || error.is::<BrokeOff>() {
        true => RegistryErrorKind::Tls,
        false => RegistryErrorKind::Unavailable,
    };
    RegistryError::new(kind, text).caused_by(error)
}

type OpenFailure = Box<dyn std::error::Error + Send + Sync>;

/// A connection over TLS to a cluster that never answered yet broke off: the last words of the
/// other side are often lost.
#[derive(Debug)]
struct BrokeOff(OpenFailure);

impl fmt::Display for BrokeOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the connection over TLS broke off: check that etcd speaks TLS there, and that it \
             accepts the client's certificate",
        )
    }
}

impl std::error::Error for BrokeOff {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}
