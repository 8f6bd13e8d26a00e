use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::actor::{Actor, ActorResult};
use super::actor_type::ActorType;
use super::actors::Actors;
use super::context::ActorContext;
use super::error::ServerError;
use super::state::ServerState;
use super::statistics::Counters;
use super::supervisor::{ANSWER_BOUND, supervise};
use super::{Config, Server, ServerHandle, Shared};
use crate::address::Address;
use crate::client::Client;
use crate::environment::{Environment, Listener};
use crate::error::BoxError;
use crate::mailbox::{MailboxTable, check_capacity};
use crate::message::ActorStart;
use crate::name::{Name, Namespace};
use crate::registry::Registry;
use crate::route::serving::{ProcessServer, ServerConfig};
use crate::route::{DEFAULT_MAX_MESSAGE_BYTES, LocalRoute};
use crate::session::{Identity, JoinError, Session};
use crate::token::Token;

/// The time to live of a peer's lease, unless another is asked for.
pub const DEFAULT_LEASE_TTL: Duration = Duration::from_secs(15);
/// The shortest time to live: below it the margins for late renewals and for clocks that differ
/// would be gone.
pub const MIN_LEASE_TTL: Duration = Duration::from_secs(5);
/// How long actors have to end when they are asked to, unless another time is set.
pub const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The most actors that run on a peer at once, unless another number is set: some gigabytes.
pub const DEFAULT_MAX_ACTORS: usize = 1_000_000;

/// The longest time to live: longer ones keep the names of a crashed peer for too long to be
/// meant.
const MAX_LEASE_TTL: Duration = Duration::from_secs(3600);
/// The most annotations of a peer, and the most bytes of one: they travel with every listing.
const MAX_ANNOTATIONS: usize = 64;
const MAX_ANNOTATION_BYTES: usize = 256;

/// Configures and starts a [`Server`]. All settings are checked by
/// [`bind`](Self::bind) and [`listener`](Self::listener).
#[doc(alias = "ServerCfg")]
pub struct ServerBuilder {
    namespace: String,
    registry: Registry,
    environment: Environment,
    actor_types: Vec<ActorType>,
    annotations: Vec<String>,
    advertise: Option<String>,
    lease_ttl: Duration,
    shutdown_timeout: Duration,
    max_message_bytes: usize,
    max_actors: usize,
    leadership: bool,
    abort_process_when_stuck: bool,
}

impl ServerBuilder {
    pub(super) fn new(namespace: String, registry: Registry) -> Self {
        Self {
            namespace,
            registry,
            environment: Environment::real(),
            actor_types: Vec::new(),
            annotations: Vec::new(),
            advertise: None,
            lease_ttl: DEFAULT_LEASE_TTL,
            shutdown_timeout: DEFAULT_SHUTDOWN_TIMEOUT,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            max_actors: DEFAULT_MAX_ACTORS,
            leadership: true,
            abort_process_when_stuck: false,
        }
    }

    /// Registers an actor type by its async constructor: see [`ActorType::new`].
    ///
    /// The type `leader` is kept running by the grid itself, under that name, on one of the peers
    /// that register it.
    #[must_use]
    #[doc(alias = "RegisterDef")]
    pub fn actor<A, F, Fut>(self, name: impl Into<String>, constructor: F) -> Self
    where
        A: Actor,
        F: Fn(ActorStart) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, BoxError>> + Send + 'static,
    {
        self.actor_type(ActorType::new(name, constructor))
    }

    /// Registers an actor type whose actors are a function: see [`ActorType::from_fn`].
    #[must_use]
    pub fn actor_fn<F, Fut>(self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(ActorStart, ActorContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ActorResult> + Send + 'static,
    {
        self.actor_type(ActorType::from_fn(name, function))
    }

    /// Registers an actor type; `RegisterDef` in Go.
    #[must_use]
    #[doc(alias = "RegisterDef")]
    pub fn actor_type(mut self, actor_type: ActorType) -> Self {
        self.actor_types.push(actor_type);
        self
    }

    /// Adds an annotation, which queries and watches show of the peer. At most 64, of at most
    /// 256 bytes each; none by default. `ServerCfg.Annotations` in Go.
    #[must_use]
    #[doc(alias("ServerCfg.Annotations", "Annotations"))]
    pub fn annotation(mut self, annotation: impl Into<String>) -> Self {
        self.annotations.push(annotation.into());
        self
    }

    /// The address under which other peers reach this one, if it is not the one that is listened
    /// on. Needed where that is unspecified (`0.0.0.0`). With port 0, the port listened on is
    /// taken.
    #[must_use]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertise = Some(address.into());
        self
    }

    /// The time to live that is asked of the registry for the peer's lease: how long the names of
    /// a crashed peer stay taken. 5 s to 1 h; [`DEFAULT_LEASE_TTL`] by default.
    ///
    /// `ServerCfg.LeaseDuration` in Go, where it is 60 s.
    #[must_use]
    #[doc(alias("ServerCfg.LeaseDuration", "LeaseDuration"))]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.lease_ttl = ttl;
        self
    }

    /// How long actors have to end when they are asked to, before they are aborted.
    /// [`DEFAULT_SHUTDOWN_TIMEOUT`] by default. The Go library has no such setting: its `Stop`
    /// waits for as long as it takes.
    #[must_use]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// The largest message that is taken and sent, in bytes; 4 MiB by default, as in the Go
    /// library. At most 1 GiB.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// The most actors that run on the peer at once: [`DEFAULT_MAX_ACTORS`] by default. A start
    /// beyond it is refused as [busy](crate::RequestErrorKind::Busy).
    #[must_use]
    pub fn max_actors(mut self, actors: usize) -> Self {
        self.max_actors = actors;
        self
    }

    /// Keeps the leader off this peer, though it registers the type. Allowed by default.
    /// `ServerCfg.DisallowLeadership` in Go.
    #[must_use]
    #[doc(alias("ServerCfg.DisallowLeadership", "DisallowLeadership"))]
    pub fn disallow_leadership(mut self) -> Self {
        self.leadership = false;
        self
    }

    /// Ends the process when an actor does not end within a second after it was aborted, as it
    /// runs code that never awaits. Without this, the peer reports it and keeps its name from
    /// being started again here.
    #[must_use]
    pub fn abort_process_when_stuck(mut self) -> Self {
        self.abort_process_when_stuck = true;
        self
    }

    /// Uses another environment than the real one.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Listens on `address` (`host:port`; port 0 takes a free one), registers the peer, and serves.
    ///
    /// If another holder has the address in the registry (the last process on it crashed, say),
    /// waits until its lease must have run out. Meanwhile it knows no mailbox, and answers to
    /// health checks that it does not serve.
    ///
    /// # Errors
    ///
    /// [`ServerError`]; nothing is left registered or running.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves at most a lease that runs out.
    pub async fn bind(self, address: impl AsRef<str>) -> Result<Server, ServerError> {
        let checked = self.check()?;
        let text = address.as_ref();
        let addresses = resolve(text)
            .await
            .map_err(|error| ServerError::listen(text, &error))?;
        let mut failure = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match checked.config.environment.listen(address).await {
                Ok(listener) => return checked.serve(listener).await,
                Err(error) => failure = error,
            }
        }
        Err(ServerError::listen(text, &failure))
    }

    /// [`bind`](Self::bind) with a listener that is bound already.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    ///
    /// # Cancel safety
    ///
    /// As [`bind`](Self::bind).
    #[doc(alias = "Serve")]
    pub async fn listener(self, listener: TcpListener) -> Result<Server, ServerError> {
        self.check()?.serve(Listener::Tcp(listener)).await
    }

    fn check(self) -> Result<Checked, ServerError> {
        let namespace = Namespace::new(&self.namespace)
            .map_err(|error| ServerError::configuration("namespace", error))?;
        if !(MIN_LEASE_TTL..=MAX_LEASE_TTL).contains(&self.lease_ttl) {
            let why = format!("{:?} is not within 5 s and 1 h", self.lease_ttl);
            return Err(ServerError::configuration("lease_ttl", why));
        }
        if !(1..=1 << 30).contains(&self.max_message_bytes) {
            let why = format!("{} is not within 1 byte and 1 GiB", self.max_message_bytes);
            return Err(ServerError::configuration("max_message_bytes", why));
        }
        if self.annotations.len() > MAX_ANNOTATIONS
            || self
                .annotations
                .iter()
                .any(|text| text.len() > MAX_ANNOTATION_BYTES)
        {
            let why =
                format!("at most {MAX_ANNOTATIONS}, of at most {MAX_ANNOTATION_BYTES} bytes each");
            return Err(ServerError::configuration("annotation", why));
        }
        let mut actor_types = HashMap::new();
        for actor_type in self.actor_types {
            let setting = format!("actor type {:?}", actor_type.name);
            let name = Name::new(&actor_type.name)
                .map_err(|error| ServerError::configuration(&setting, error))?;
            if let Some(declared) = &actor_type.declared {
                check_capacity(declared.capacity)
                    .map_err(|error| ServerError::configuration(&setting, error))?;
            }
            if actor_types.insert(name, actor_type).is_some() {
                return Err(ServerError::configuration(&setting, "registered twice"));
            }
        }
        let mut annotations = self.annotations;
        annotations.sort();
        Ok(Checked {
            namespace,
            registry: self.registry,
            actor_types,
            annotations: annotations.into(),
            advertise: self.advertise,
            max_message_bytes: self.max_message_bytes,
            max_actors: self.max_actors,
            config: Config {
                environment: self.environment,
                lease_ttl: self.lease_ttl,
                shutdown_timeout: self.shutdown_timeout,
                leadership: self.leadership,
                abort_process_when_stuck: self.abort_process_when_stuck,
            },
        })
    }
}

/// Settings that are valid, one by one.
struct Checked {
    namespace: Namespace,
    registry: Registry,
    actor_types: HashMap<Name, ActorType>,
    annotations: Arc<[String]>,
    advertise: Option<String>,
    max_message_bytes: usize,
    max_actors: usize,
    config: Config,
}

impl Checked {
    async fn serve(self, listener: Listener) -> Result<Server, ServerError> {
        let bound = listener
            .local_addr()
            .map_err(|error| ServerError::listen("the listener", &error))?;
        let identity = Identity {
            address: advertised(self.advertise.as_deref(), bound)?,
            namespace: self.namespace,
            annotations: self.annotations,
        };
        let Config {
            environment,
            lease_ttl,
            ..
        } = &self.config;
        let table: Arc<MailboxTable> = Arc::default();
        let serving = watch::Sender::new(None);
        // Before the peer joins, which can take as long as a lease: who asks then is told so.
        let process = ProcessServer::start(
            environment.clone(),
            listener,
            table.clone(),
            serving.subscribe(),
            ServerConfig {
                namespace: identity.namespace.clone(),
                max_message_bytes: self.max_message_bytes,
            },
        );
        let joined = Session::join(environment, &self.registry, &identity, *lease_ttl, false).await;
        let session = match joined {
            Ok(session) => session,
            Err(error) => {
                process.shutdown(ANSWER_BOUND).await;
                return Err(match error {
                    JoinError::Registry(error) => ServerError::registry(&error),
                    JoinError::AddressInUse { holder } => {
                        let token = Token::new(self.registry.backend().cluster(), holder.created);
                        ServerError::address_in_use(&identity.address, &holder.key, token)
                    }
                });
            }
        };
        let local = LocalRoute::new(table.clone(), self.max_message_bytes);
        let client = Client::of_server(
            identity.namespace.clone(),
            self.registry.clone(),
            environment.clone(),
            self.max_message_bytes,
            identity.peer().clone(),
            local,
        );
        let environment = environment.clone();
        let shared = Arc::new(Shared {
            config: self.config,
            registry: self.registry,
            identity,
            actor_types: self.actor_types,
            table,
            actors: Arc::new(Actors::new(self.max_actors)),
            counters: Counters::default(),
            accepted: process.counters().clone(),
            client,
            state: watch::Sender::new(ServerState::Starting),
            serving,
            life: Mutex::new(Weak::new()),
            shutdown: CancellationToken::new(),
            result: Mutex::new(None),
        });
        let supervisor = environment.spawn(supervise(shared.clone(), session, process));
        let server = Server {
            handle: ServerHandle { shared },
            supervisor,
        };
        server.wait_for(ServerState::Serving).await;
        Ok(server)
    }
}

/// The address for other peers.
fn advertised(advertise: Option<&str>, bound: SocketAddr) -> Result<Address, ServerError> {
    let Some(text) = advertise else {
        return Address::try_from(bound)
            .map_err(|error| ServerError::configuration("address", error));
    };
    let text = match text.strip_suffix(":0") {
        Some(host) => format!("{host}:{}", bound.port()),
        None => text.to_owned(),
    };
    text.parse()
        .map_err(|error| ServerError::configuration("advertise", error))
}

/// The addresses to listen on. Names are looked up by the system, once, at the start.
async fn resolve(text: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(text).await?.collect())
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("namespace", &self.namespace)
            .field("actor_types", &self.actor_types)
            .field("lease_ttl", &self.lease_ttl)
            .finish_non_exhaustive()
    }
}
