//! The builder of a server: every setting, and the calls that start it.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;

use super::actor::{Actor, ActorContext, ActorResult, ActorType};
use super::bind::serve;
use super::error::ServerError;
use super::events::ServerEvents;
use super::server::Server;
use super::settings::ServerSettings;
use crate::environment::{Environment, Listener};
use crate::error::BoxError;
use crate::message::ActorStart;
use crate::registry::Registry;

impl Server {
    /// Creates a builder for a server of the grid `namespace`; [`bind`](ServerBuilder::bind) or
    /// [`listener`](ServerBuilder::listener) starts it.
    #[doc(alias = "NewServer")]
    pub fn builder(namespace: impl Into<String>, registry: Registry) -> ServerBuilder {
        ServerBuilder::new(namespace.into(), registry)
    }
}

/// Configures and starts a [`Server`]. All settings are checked by
/// [`bind`](Self::bind) and [`listener`](Self::listener).
#[doc(alias = "ServerCfg")]
pub struct ServerBuilder {
    settings: ServerSettings,
}

impl ServerBuilder {
    fn new(namespace: String, registry: Registry) -> Self {
        Self {
            settings: ServerSettings::new(namespace, registry),
        }
    }

    /// Registers an actor type by its async constructor: see [`ActorType::new`].
    ///
    /// The grid itself keeps an actor of the type `leader` running, under that name, on one of the
    /// peers that register the type.
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

    /// Registers an actor type. `RegisterDef` in Go.
    #[must_use]
    #[doc(alias = "RegisterDef")]
    pub fn actor_type(mut self, actor_type: ActorType) -> Self {
        self.settings.actor_types.push(actor_type);
        self
    }

    /// Adds an annotation to the peer, which queries and watches return. At most 64, of at most 256
    /// bytes each; none by default. `ServerCfg.Annotations` in Go.
    #[must_use]
    #[doc(alias("ServerCfg.Annotations", "Annotations"))]
    pub fn annotation(mut self, annotation: impl Into<String>) -> Self {
        self.settings.annotations.push(annotation.into());
        self
    }

    /// Sets the address at which other peers reach this one, if it is not the address that the
    /// server listens on. Required if that is unspecified (`0.0.0.0`). Port 0 stands for the port
    /// that the server listens on.
    #[must_use]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.settings.advertise = Some(address.into());
        self
    }

    /// Sets the time to live that the peer requests for its lease: how long the names of a crashed
    /// peer stay taken. 5 s to 1 h; [`DEFAULT_LEASE_TTL`](crate::DEFAULT_LEASE_TTL) by default.
    ///
    /// `ServerCfg.LeaseDuration` in Go, where it is 60 s.
    #[must_use]
    #[doc(alias("ServerCfg.LeaseDuration", "LeaseDuration"))]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.settings.lease_ttl = ttl;
        self
    }

    /// Limits how long [`bind`](Self::bind) waits while another holder has the address in the
    /// registry. 1 s to 24 h; three times the [`lease_ttl`](Self::lease_ttl) plus 3 s by default.
    ///
    /// A holder that has crashed keeps the address until its lease expires, and etcd restarts the
    /// time of all leases when it elects a new leader. A holder that renews its lease is reported
    /// sooner, when the lease as first seen should have expired. In both cases the error is
    /// [`AddressInUse`](crate::ServerErrorKind::AddressInUse), with its
    /// [`holder`](ServerError::holder). After the timeout, `bind` still finishes the attempt that
    /// is under way, which takes at most a little more than one `lease_ttl`.
    ///
    /// The timeout does not apply when the peer rejoins: it then waits for as long as necessary.
    #[must_use]
    pub fn join_timeout(mut self, timeout: Duration) -> Self {
        self.settings.join_timeout = Some(timeout);
        self
    }

    /// Limits how long the runtime on which the server is bound may stall, because code in its
    /// tasks blocks all of its threads, before the peer is fenced. 1 s to 1 h; the
    /// [`lease_ttl`](Self::lease_ttl) by default.
    ///
    /// A dedicated thread renews the peer's lease, and user code cannot starve it, so after a
    /// shorter stall the peer still has its lease and its names. A longer stall fences the peer
    /// ([`FenceReason::RuntimeStalled`](crate::FenceReason::RuntimeStalled)): its lease is no
    /// longer renewed, and other peers can take its names when the lease expires, at most one
    /// `lease_ttl` later. When the runtime runs again, the actors end, and the peer rejoins.
    ///
    /// It is not a stall if threads are blocked while another thread of the runtime is idle.
    ///
    /// Time in which the whole process was stopped or the machine suspended does not count:
    /// `lease_ttl` limits that. Stalls of one second or more are logged, and the longest is in the
    /// [statistics](crate::ServerStatistics::longest_runtime_stall).
    #[must_use]
    pub fn max_stall(mut self, time: Duration) -> Self {
        self.settings.max_stall = Some(time);
        self
    }

    /// Sets how long actors have to end after they are asked to stop, before they are aborted, and
    /// how long a shutdown waits for the answers to requests that the server's mailboxes have
    /// admitted. [`DEFAULT_SHUTDOWN_TIMEOUT`](crate::DEFAULT_SHUTDOWN_TIMEOUT) by default. The Go
    /// library has no such setting: its `Stop` waits without a limit.
    #[must_use]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.settings.shutdown_timeout = timeout;
        self
    }

    /// Limits how long the constructor of an actor may take, from 1 ms to 1 h.
    /// [`DEFAULT_CONSTRUCTOR_TIMEOUT`](crate::DEFAULT_CONSTRUCTOR_TIMEOUT) by default. The limit
    /// applies to every start, including the leader's. A constructor that has not ended by then is
    /// dropped at its next await: its name is released, and the start fails with
    /// [`StartFailed`](crate::RequestErrorKind::StartFailed).
    ///
    /// A peer has at most 256 starts under way, and rejects more as
    /// [busy](crate::RequestErrorKind::Busy). A start counts until its constructor has ended, even
    /// if its caller has stopped waiting, so this timeout also limits how long hanging constructors
    /// can block other starts.
    #[must_use]
    pub fn constructor_timeout(mut self, timeout: Duration) -> Self {
        self.settings.constructor_timeout = timeout;
        self
    }

    /// Sets the largest message that is received or sent, in bytes. 4 MiB by default, as in the Go
    /// library; at most 1 GiB.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_message_bytes = bytes;
        self
    }

    /// Sets the maximum number of actors on the peer at once.
    /// [`DEFAULT_MAX_ACTORS`](crate::DEFAULT_MAX_ACTORS) by default. A start beyond it is rejected
    /// as [busy](crate::RequestErrorKind::Busy).
    #[must_use]
    pub fn max_actors(mut self, actors: usize) -> Self {
        self.settings.max_actors = actors;
        self
    }

    /// Limits the bytes of requests that the peer holds for other processes: requests that are
    /// arriving and requests that are queued, until they are handed out. By default
    /// [`DEFAULT_MAX_RECEIVED_BYTES`](crate::DEFAULT_MAX_RECEIVED_BYTES), or twice [the limit of
    /// one connection](Self::max_received_bytes_per_connection) if that is more; at least the limit
    /// of one connection. The connections from one address use at most half of it.
    ///
    /// A large request that finds no room waits while others are arriving. If queued requests fill
    /// the room, it is rejected as [busy](crate::RequestErrorKind::Busy).
    #[must_use]
    pub fn max_received_bytes(mut self, bytes: usize) -> Self {
        self.settings.wire.received_bytes = Some(bytes);
        self
    }

    /// Limits the bytes of requests that the peer holds for one connection, and likewise the bytes
    /// of replies. At least 8 MiB, and at least room for four messages of the
    /// [largest size](Self::max_message_bytes) with 16 KiB of overhead each.
    /// [`DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION`] by default, or that minimum if it is more.
    ///
    /// [`DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION`]:
    ///     crate::DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION
    #[must_use]
    pub fn max_received_bytes_per_connection(mut self, bytes: usize) -> Self {
        self.settings.wire.received_bytes_per_connection = Some(bytes);
        self
    }

    /// Limits the bytes of replies to other processes that the peer holds until they are sent. The
    /// limit for [requests](Self::max_received_bytes) by default; at least [the limit of one
    /// connection](Self::max_received_bytes_per_connection). Replies to one address use at most
    /// half of it.
    ///
    /// A reply that finds no room is lost: its requester gets a
    /// [`NoReply`](crate::RequestErrorKind::NoReply) error that says that the request was executed.
    #[must_use]
    pub fn max_reply_bytes(mut self, bytes: usize) -> Self {
        self.settings.wire.reply_bytes = Some(bytes);
        self
    }

    /// Sets the maximum number of requests under way on one connection from another process.
    /// [`DEFAULT_MAX_STREAMS_PER_CONNECTION`](crate::DEFAULT_MAX_STREAMS_PER_CONNECTION) by
    /// default. A client's further requests wait at the client.
    #[must_use]
    pub fn max_streams_per_connection(mut self, streams: u32) -> Self {
        self.settings.wire.streams_per_connection = streams;
        self
    }

    /// Sets the maximum number of connections from other processes at a time, and half of that from
    /// one address. [`DEFAULT_MAX_CONNECTIONS`](crate::DEFAULT_MAX_CONNECTIONS) by default. Beyond
    /// it, a silent or idle connection is closed to make room for a new one.
    ///
    /// So that connections do not use up the file descriptors of the process, the process's limit
    /// on open files is raised if that is allowed. If it stays lower, the peer accepts fewer
    /// connections: a quarter of the limit, but at most 256 descriptors, is left for everything
    /// else.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.wire.connections = connections;
        self
    }

    /// Exempts the address of a proxy, through which many clients connect, from the limits on the
    /// connections and the bytes of one address. None by default.
    #[must_use]
    pub fn proxy(mut self, address: IpAddr) -> Self {
        self.settings.wire.proxies.push(address);
        self
    }

    /// Sets whether the peer serves links, and whether its client uses them. True by default.
    ///
    /// A link is the connection over which processes of this library send each other requests: many
    /// at a time, in frames of their own instead of gRPC, on the same port. Requests of one client
    /// to one mailbox arrive in the order in which they were sent, which gRPC does not guarantee.
    /// Errors, deadlines, tokens and the sizes of messages are the same over both. The peer serves
    /// gRPC in any case: clients of the Go library, clients with links turned off, and health
    /// checks use it.
    ///
    /// With false, the peer announces no link in its registrations, accepts none, and sends its own
    /// requests over gRPC. Turn links off if something between the peers passes only HTTP/2 (the
    /// client falls back to gRPC by itself there, but tries the link again every minute), or if the
    /// traffic between peers must be readable by tools for gRPC. Peers with and without links can
    /// share a grid.
    #[must_use]
    pub fn link(mut self, link: bool) -> Self {
        self.settings.link = link;
        self
    }

    /// Keeps the leader off this peer, although it registers the type. Allowed by default.
    /// `ServerCfg.DisallowLeadership` in Go.
    #[must_use]
    #[doc(alias("ServerCfg.DisallowLeadership", "DisallowLeadership"))]
    pub fn disallow_leadership(mut self) -> Self {
        self.settings.leadership = false;
        self
    }

    /// Ends the process if an actor, or a task that it has [spawned](crate::ActorContext::spawn),
    /// does not end within one second after it was aborted, because it runs code that never awaits.
    /// By default, the peer only reports the actor and does not let its name be started here again.
    #[must_use]
    pub fn abort_process_when_stuck(mut self) -> Self {
        self.settings.abort_process_when_stuck = true;
        self
    }

    /// Returns the events of the server, starting before its first state: see
    /// [`ServerHandle::events`]. They end if the server does not start.
    ///
    /// ```
    /// use actorgrid::{Registry, Server, ServerEvent, ServerState};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), actorgrid::BoxError> {
    /// let builder = Server::builder("mygrid", Registry::connect("memory:").await?);
    /// let mut events = builder.events();
    /// let server = builder.bind("127.0.0.1:0").await?;
    /// let serving = ServerEvent::StateChanged { state: ServerState::Serving, reason: None };
    /// assert_eq!(events.next().await, Some(serving));
    /// # server.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`ServerHandle::events`]: crate::ServerHandle::events
    #[must_use]
    pub fn events(&self) -> ServerEvents {
        ServerEvents::of(&self.settings.events)
    }

    /// Uses this environment instead of the real one, which is the default.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.settings.environment = environment;
        self
    }

    /// Listens on `address` (`host:port`; port 0 selects a free port), registers the peer, and
    /// serves.
    ///
    /// If another holder has the address in the registry (for example, because the last process on
    /// it crashed), waits until its lease must have expired, but at most for
    /// [`join_timeout`](Self::join_timeout). Meanwhile the server knows no mailbox, and answers
    /// health checks with "not serving".
    ///
    /// # Errors
    ///
    /// Fails with a [`ServerError`]; nothing is left registered or running.
    ///
    /// # Cancel safety
    ///
    /// A task of the library carries out the start, and continues while the future is not polled.
    /// If the future is dropped, the task abandons the start:
    ///
    /// - While it joins, the port is free again at once. The registrations made by then are deleted
    ///   as soon as the registry answers, within a little more than the lease's time to live. If
    ///   that fails (the runtime ends, or the registry is unavailable), the lease expires; the same
    ///   address can be bound again after that.
    /// - Once the server serves (if the future has not been polled since), it is shut down as by
    ///   [`shutdown`](crate::ServerHandle::shutdown); the port is free at the end of the shutdown.
    ///
    /// So a program can wait for a signal during the start, which takes as long as a lease if the
    /// last process on the address has crashed:
    ///
    /// ```no_run
    /// use actorgrid::{BoxError, Registry, Server};
    ///
    /// # async fn ctrl_c() {}
    /// async fn serve(registry: Registry) -> Result<(), BoxError> {
    ///     // For example, from tokio::signal::ctrl_c().
    ///     let mut interrupted = std::pin::pin!(ctrl_c());
    ///     let server = tokio::select! {
    ///         server = Server::builder("mygrid", registry).bind("127.0.0.1:7777") => server?,
    ///         () = &mut interrupted => return Ok(()),
    ///     };
    ///     server.run_until(interrupted).await?;
    ///     Ok(())
    /// }
    /// # fn main() {}
    /// ```
    pub async fn bind(self, address: impl AsRef<str>) -> Result<Server, ServerError> {
        let checked = self.settings.check()?;
        let text = address.as_ref();
        let addresses = resolve(text)
            .await
            .map_err(|error| ServerError::listen(text, error))?;
        let mut failure = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match checked.config.environment.listen(address).await {
                Ok(listener) => return serve(checked, listener).await,
                Err(error) => failure = error,
            }
        }
        Err(ServerError::listen(text, failure))
    }

    /// Like [`bind`](Self::bind), with a listener that is already bound.
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
        serve(self.settings.check()?, Listener::Tcp(listener)).await
    }
}

/// Returns the addresses to listen on. The system resolves names, once, at the start.
async fn resolve(text: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(text).await?.collect())
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("namespace", &self.settings.namespace)
            .field("actor_types", &self.settings.actor_types)
            .field("lease_ttl", &self.settings.lease_ttl)
            .finish_non_exhaustive()
    }
}
