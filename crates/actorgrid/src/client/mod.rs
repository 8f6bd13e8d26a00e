//! Requests, queries, watches and health.

mod broadcast;
mod broadcast_result;
mod drive;
mod health;
mod locations;
mod query;
mod request;
pub(crate) mod retry;
mod statistics;
mod watch;
mod watch_pause;
pub(crate) mod watch_resume;
mod watcher;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::environment::{Deadline, Environment};
use crate::error::{RequestError, RequestErrorKind};
use crate::group::Group;
use crate::message::{Ack, ActorStart, ActorStop, Message};
use crate::name::{IntoName, Name, NameError, Namespace};
use crate::registry::{Kind, Registration, Registry, keys};
use crate::route::calling::{Pool, PoolConfig};
use crate::route::{DEFAULT_MAX_MESSAGE_BYTES, LocalRoute, RequestId};

pub use broadcast::{BroadcastBuilder, DEFAULT_CONCURRENCY};
pub use broadcast_result::{BroadcastResult, IncompleteBroadcast, Outcome};
pub use health::{Health, HealthWatch};
pub use request::RequestBuilder;
pub use statistics::ClientStatistics;
pub use watch::{Watch, WatchEvent};

use locations::Locations;
use statistics::Counters;

/// The deadline of a request, unless another is set.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// The time that one exchange with the registry may take, unless another is set.
const DEFAULT_REGISTRY_TIMEOUT: Duration = Duration::from_secs(2);

/// The most connections to one peer: more only cost, as a peer has fewer processors than that.
const MAX_CONNECTIONS_PER_PEER: usize = 64;

/// Sends requests to the mailboxes of a grid, and asks who is there. Cheap to clone; clones share
/// connections and the cache of locations.
///
/// ```no_run
/// # async fn run() -> Result<(), actorgrid::BoxError> {
/// use actorgrid::{Client, EchoMsg, Registry};
/// use std::time::Duration;
///
/// let client = Client::new("mygrid", Registry::connect("memory:").await?);
/// let answer = client
///     .request("worker-7", EchoMsg::new("hello"))
///     .deadline(Duration::from_secs(2))
///     .await?;
/// println!("{}", answer.msg);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "NewClient")]
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    namespace: Result<Namespace, NameError>,
    registry: Registry,
    environment: Environment,
    deadline: Duration,
    registry_timeout: Duration,
    pool: Pool,
    locations: Arc<Locations>,
    /// Where the client belongs to a server: its peer, and the way to that peer's mailboxes.
    local: Option<(Name, LocalRoute)>,
    /// The half of all request ids that is this client's.
    id: u64,
    /// The other half, and how many requests there were.
    requests: AtomicU64,
    counters: Arc<Counters>,
    /// Turns for the requests of broadcasts.
    fan_out: Semaphore,
}

impl Client {
    /// A client of the grid `namespace` with default settings. An invalid namespace is reported by
    /// each of its calls.
    pub fn new(namespace: impl Into<String>, registry: Registry) -> Self {
        Self::builder(namespace, registry).build()
    }

    /// A client with other settings.
    pub fn builder(namespace: impl Into<String>, registry: Registry) -> ClientBuilder {
        ClientBuilder {
            namespace: Namespace::new(&namespace.into()),
            registry,
            environment: Environment::real(),
            deadline: DEFAULT_DEADLINE,
            registry_timeout: DEFAULT_REGISTRY_TIMEOUT,
            connections_per_peer: 1,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            local: None,
        }
    }

    pub(crate) fn of_server(
        namespace: Namespace,
        registry: Registry,
        environment: Environment,
        max_message_bytes: usize,
        peer: Name,
        local: LocalRoute,
    ) -> Self {
        ClientBuilder {
            namespace: Ok(namespace),
            registry,
            environment,
            deadline: DEFAULT_DEADLINE,
            registry_timeout: DEFAULT_REGISTRY_TIMEOUT,
            connections_per_peer: 1,
            max_message_bytes,
            local: Some((peer, local)),
        }
        .build()
    }

    /// A request to the mailbox `to`: await it, after setting what is to differ from the defaults.
    ///
    /// It is repeated, within its deadline, only while it provably was not executed: the mailbox
    /// was full or closed, its holder had moved, or nothing was sent. Else the error says
    /// [`may_have_executed`](RequestError::may_have_executed).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future tells the receiver that nobody waits; whether it was executed is then
    /// unknown.
    #[doc(alias = "RequestC")]
    pub fn request<M: Message>(&self, to: impl IntoName, message: M) -> RequestBuilder<M::Reply> {
        RequestBuilder::new(self.clone(), to.into_name(), message)
    }

    /// A request with the same message to each member of a group: await it, after setting what is
    /// to differ from the defaults. The result has an [`Outcome`] for each member; see
    /// [`BroadcastBuilder`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future tells all receivers that nobody waits; which of them have executed the
    /// request is then unknown.
    pub fn broadcast<M: Message>(&self, group: &Group, message: M) -> BroadcastBuilder<M::Reply> {
        BroadcastBuilder::new(self.clone(), group.clone(), &message)
    }

    /// Asks a peer (by its name or its registration) to start an actor. The answer comes when the
    /// actor's name is registered and its constructor has succeeded; with a declared mailbox,
    /// requests are taken by then.
    ///
    /// [`AlreadyRunning`](RequestErrorKind::AlreadyRunning) tells
    /// [who holds the name](RequestError::holder) and [its token](RequestError::token).
    pub fn start(&self, peer: impl IntoName, start: ActorStart) -> RequestBuilder<Ack> {
        self.request(peer, start).start()
    }

    /// Asks an actor to stop, and waits until it has ended and its name is free.
    ///
    /// # Errors
    ///
    /// [`UnknownName`](RequestErrorKind::UnknownName) when no such actor runs;
    /// [`Registry`](RequestErrorKind::Registry) when the registry does not answer;
    /// [`DeadlineExceeded`](RequestErrorKind::DeadlineExceeded) when it has not ended within the
    /// client's default deadline: it goes on to end.
    ///
    /// # Cancel safety
    ///
    /// The actor stops all the same once it was asked.
    pub async fn stop(&self, actor: impl IntoName) -> Result<(), RequestError> {
        let name = actor
            .into_name()
            .map_err(|error| RequestError::invalid_name(&error))?;
        let deadline = Deadline::after(self.inner.deadline);
        let holder = self.find(Kind::Actor, &name).await?;
        let Some(Registration { peer, token, .. }) = holder else {
            return Err(RequestError::unknown_name(name.as_str()));
        };
        let stop = ActorStop::new(name)
            .map_err(|error| RequestError::invalid_name(&error))?
            .token(token);
        let request = self.request(peer, stop).deadline(deadline.remaining());
        request.await.map(|Ack {}| ())
    }

    /// Closes the client and all its clones: connections are ended, and every request from now on
    /// fails with [`ClientClosed`](RequestErrorKind::ClientClosed).
    pub async fn close(&self) {
        self.inner.pool.close().await;
    }

    /// What the client and its clones have counted so far. It takes no lock and costs nothing to
    /// requests under way.
    ///
    /// ```
    /// # use actorgrid::{Client, Environment, MemoryRegistry, RequestErrorKind, EchoMsg};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let registry = MemoryRegistry::new(&Environment::real()).registry();
    /// let client = Client::new("mygrid", registry);
    /// let error = client.request("nobody", EchoMsg::new("hello")).await.unwrap_err();
    /// assert_eq!(error.kind(), RequestErrorKind::UnknownName);
    /// let counted = client.statistics();
    /// assert_eq!((counted.requests, counted.unknown_names), (1, 1));
    /// # }
    /// ```
    #[must_use]
    pub fn statistics(&self) -> ClientStatistics {
        let connections = self.inner.pool.connections();
        ClientStatistics {
            // Before those that were opened, so that never more have ended.
            connections_ended: connections.ended.get(),
            connections_opened: connections.opened.get(),
            connections_failed: connections.failed.get(),
            requests: self.inner.requests.load(Ordering::Relaxed),
            ..self.inner.counters.read()
        }
    }

    fn namespace(&self) -> Result<&Namespace, RequestError> {
        self.inner.namespace.as_ref().map_err(|error| {
            RequestError::refused(
                RequestErrorKind::InvalidName,
                format!("the client's namespace: {error}"),
            )
        })
    }

    fn next_id(&self) -> RequestId {
        let count = self.inner.requests.fetch_add(1, Ordering::Relaxed);
        RequestId((u128::from(self.inner.id) << 64) | u128::from(count))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("namespace", &self.inner.namespace)
            .finish_non_exhaustive()
    }
}

/// Configures a [`Client`].
#[doc(alias = "ClientCfg")]
pub struct ClientBuilder {
    namespace: Result<Namespace, NameError>,
    registry: Registry,
    environment: Environment,
    deadline: Duration,
    registry_timeout: Duration,
    connections_per_peer: usize,
    max_message_bytes: usize,
    local: Option<(Name, LocalRoute)>,
}

impl ClientBuilder {
    /// The deadline of requests that set none: [`DEFAULT_DEADLINE`] by default, at most
    /// [`MAX_DEADLINE`](crate::MAX_DEADLINE).
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The time that one exchange with the registry may take before it counts as failed: 2 s by
    /// default. A query ends by the client's default [`deadline`](Self::deadline) if that is less; a
    /// request whose lookup failed is tried again within its own.
    ///
    /// `ClientCfg.Timeout` in Go, where it is 10 s.
    #[must_use]
    #[doc(alias("ClientCfg.Timeout", "Timeout"))]
    pub fn registry_timeout(mut self, timeout: Duration) -> Self {
        self.registry_timeout = timeout;
        self
    }

    /// Connections to each peer: 1 by default; 0 is taken as 1, and more than 64 as 64. One serves
    /// thousands of requests at once; more help where single requests are megabytes.
    ///
    /// `ClientCfg.ConnectionsPerPeer` in Go, where it is half the number of processors.
    #[must_use]
    #[doc(alias("ClientCfg.ConnectionsPerPeer", "ConnectionsPerPeer"))]
    pub fn connections_per_peer(mut self, connections: usize) -> Self {
        self.connections_per_peer = connections.clamp(1, MAX_CONNECTIONS_PER_PEER);
        self
    }

    /// The largest message that is sent, and reply that is taken, in bytes:
    /// [`DEFAULT_MAX_MESSAGE_BYTES`] by default.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Uses another environment than the real one.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// The client. It connects when it has something to send.
    #[must_use]
    pub fn build(self) -> Client {
        // With an invalid namespace nothing is ever sent.
        let prefix = self
            .namespace
            .as_ref()
            .map(|namespace| keys::prefix(namespace, Kind::Mailbox));
        let pool = Pool::new(
            self.environment.clone(),
            PoolConfig {
                mailbox_prefix: prefix.unwrap_or_default(),
                max_message_bytes: self.max_message_bytes,
                connections_per_peer: self.connections_per_peer,
            },
        );
        Client {
            inner: Arc::new(Inner {
                namespace: self.namespace,
                registry: self.registry,
                deadline: self.deadline,
                registry_timeout: self.registry_timeout,
                pool,
                locations: Arc::default(),
                local: self.local,
                id: self.environment.random_u64(),
                requests: AtomicU64::new(0),
                counters: Arc::default(),
                fan_out: Semaphore::new(broadcast::MAX_FAN_OUT),
                environment: self.environment,
            }),
        }
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("namespace", &self.namespace)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
