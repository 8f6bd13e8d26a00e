//! How a client is configured and built.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::broadcast::FanOutTurns;
use super::client::Client;
use super::core::ClientCore;
use super::counters::ClientCounters;
use super::locations::Locations;
use super::lookup_batches::LookupBatches;
use super::name_waits::NameWaits;
use super::request_ids::RequestIds;
use crate::environment::Environment;
use crate::name::{Name, NameError, Namespace};
use crate::registry::{Kind, Registry, TimedRegistry, keys};
use crate::route::calling::{Pool, PoolConfig};
use crate::route::{DEFAULT_MAX_MESSAGE_BYTES, LocalRoute};

/// The deadline of a request, unless another is set.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// The time that one exchange with the registry may take, unless another is set.
const DEFAULT_REGISTRY_TIMEOUT: Duration = Duration::from_secs(2);

/// The most connections to one peer: more only cost, as a peer has fewer processors than that.
const MAX_CONNECTIONS_PER_PEER: usize = 64;

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
    /// default. A query ends by the client's default [`deadline`](Self::deadline) if that is less;
    /// a request whose lookup failed is tried again within its own.
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
        let registry = TimedRegistry::new(&self.environment, &self.registry, self.registry_timeout);
        Client::of(Arc::new(ClientCore {
            namespace: self.namespace,
            lookups: LookupBatches::new(registry.clone()),
            registry,
            deadline: self.deadline,
            pool,
            locations: Locations::default(),
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
