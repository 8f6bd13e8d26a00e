//! The builder of a client: its settings and their defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::broadcast::FanOutTurns;
use super::client::Client;
use super::core::ClientCore;
use super::counters::ClientCounters;
use super::locations::Locations;
use super::lookup_batches::LookupBatches;
use super::name_turns::NameTurns;
use super::name_waits::NameWaits;
use super::request_ids::RequestIds;
use crate::environment::Environment;
use crate::name::{Name, NameError, Namespace};
use crate::registry::{Kind, Registry, TimedRegistry, keys};
use crate::route::calling::{Pool, PoolConfig};
use crate::route::{DEFAULT_MAX_MESSAGE_BYTES, LocalRoute};

/// The default deadline of a request: 10 s.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// The default limit on the time of one exchange with the registry.
const DEFAULT_REGISTRY_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum number of connections to one peer. More would only cost, because a peer has fewer
/// processors than that.
const MAX_CONNECTIONS_PER_PEER: usize = 64;

impl Client {
    /// Creates a client of the grid `namespace` with default settings. If the namespace is invalid,
    /// each call of the client fails.
    pub fn new(namespace: impl Into<String>, registry: Registry) -> Self {
        Self::builder(namespace, registry).build()
    }

    /// Creates a builder for a client with other settings.
    pub fn builder(namespace: impl Into<String>, registry: Registry) -> ClientBuilder {
        ClientBuilder {
            namespace: Namespace::new(&namespace.into()),
            registry,
            environment: Environment::real(),
            deadline: DEFAULT_DEADLINE,
            registry_timeout: DEFAULT_REGISTRY_TIMEOUT,
            connections_per_peer: 1,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            link: true,
            local: None,
        }
    }

    pub(crate) fn of_server(
        namespace: Namespace,
        registry: Registry,
        environment: Environment,
        max_message_bytes: usize,
        link: bool,
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
            link,
            local: Some((peer, local)),
        }
        .build()
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
    link: bool,
    local: Option<(Name, LocalRoute)>,
}

impl ClientBuilder {
    /// Sets the deadline of requests that set none. [`DEFAULT_DEADLINE`] by default; at most
    /// [`MAX_DEADLINE`](crate::MAX_DEADLINE).
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets how long one exchange with the registry may take before it counts as failed. 2 s by
    /// default. A query ends by the client's default [`deadline`](Self::deadline) if that is
    /// shorter; a request whose lookup failed is retried within its own deadline.
    ///
    /// `ClientCfg.Timeout` in Go, where it is 10 s.
    #[must_use]
    #[doc(alias("ClientCfg.Timeout", "Timeout"))]
    pub fn registry_timeout(mut self, timeout: Duration) -> Self {
        self.registry_timeout = timeout;
        self
    }

    /// Sets the number of gRPC connections to each peer; requests to a peer that announces a
    /// [link](Self::link) share one link instead. 1 by default; 0 counts as 1, and more than 64 as
    /// 64. One connection serves thousands of requests at once; more help if single requests are
    /// megabytes large.
    ///
    /// `ClientCfg.ConnectionsPerPeer` in Go, where it is half the number of processors.
    #[must_use]
    #[doc(alias("ClientCfg.ConnectionsPerPeer", "ConnectionsPerPeer"))]
    pub fn connections_per_peer(mut self, connections: usize) -> Self {
        self.connections_per_peer = connections.clamp(1, MAX_CONNECTIONS_PER_PEER);
        self
    }

    /// Sets the largest message that is sent, and the largest reply that is accepted, in bytes.
    /// [`DEFAULT_MAX_MESSAGE_BYTES`] by default.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Sets whether the client sends requests over links to the peers that announce them. True by
    /// default. [`ServerBuilder::link`](crate::ServerBuilder::link) describes links; it also sets
    /// whether a server's own client uses them.
    ///
    /// The client opens one link to each such peer, whatever
    /// [`connections_per_peer`](Self::connections_per_peer) says, when it has a request for it. If
    /// the peer can be reached but accepts no link within 750 ms, for example because a proxy
    /// passes only HTTP/2, the waiting requests go over gRPC at once, and so do all others for the
    /// next 60 s; then the link is tried again. Requests to peers of the Go library, to peers that
    /// announce no link, and health checks always go over gRPC.
    ///
    /// With false, all requests go over gRPC, where those of one client to one mailbox have no
    /// order unless each reply is awaited. Turn links off where they cannot be established anyway,
    /// so that no request waits for the attempt.
    #[must_use]
    pub fn link(mut self, link: bool) -> Self {
        self.link = link;
        self
    }

    /// Uses this environment instead of the real one, which is the default.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Builds the client. It connects when it has something to send.
    #[must_use]
    pub fn build(self) -> Client {
        // With an invalid namespace nothing is ever sent.
        let prefix = self
            .namespace
            .as_ref()
            .map(|namespace| keys::prefix(namespace, Kind::Mailbox));
        let namespace = self.namespace.as_ref().map(Namespace::as_str);
        let link_namespace = namespace.ok().filter(|_| self.link).map(str::to_owned);
        let pool = Pool::new(
            self.environment.clone(),
            PoolConfig {
                mailbox_prefix: prefix.unwrap_or_default(),
                max_message_bytes: self.max_message_bytes,
                connections_per_peer: self.connections_per_peer,
                link_namespace,
            },
        );
        let registry = TimedRegistry::new(&self.environment, &self.registry, self.registry_timeout);
        Client::of(Arc::new(ClientCore {
            namespace: self.namespace,
            lookups: LookupBatches::new(registry.clone()),
            registry,
            deadline: self.deadline,
            pool,
            locations: Locations::default(),
            name_turns: NameTurns::default(),
            name_waits: NameWaits::default(),
            local: self.local,
            ids: RequestIds::new(self.environment.random_u64()),
            counters: ClientCounters::default(),
            fan_out: FanOutTurns::new(),
        }))
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
