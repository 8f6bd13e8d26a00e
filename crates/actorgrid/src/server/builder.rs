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
    /// A server of the grid `namespace`; [`bind`](ServerBuilder::bind) or
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
        self.settings.actor_types.push(actor_type);
        self
    }

    /// Adds an annotation, which queries and watches show of the peer. At most 64, of at most
    /// 256 bytes each; none by default. `ServerCfg.Annotations` in Go.
    #[must_use]
    #[doc(alias("ServerCfg.Annotations", "Annotations"))]
    pub fn annotation(mut self, annotation: impl Into<String>) -> Self {
        self.settings.annotations.push(annotation.into());
        self
    }

    /// The address under which other peers reach this one, if it is not the one that is listened
    /// on. Needed where that is unspecified (`0.0.0.0`). With port 0, the port listened on is
    /// taken.
    #[must_use]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.settings.advertise = Some(address.into());
        self
    }

    /// The time to live that is asked of the registry for the peer's lease: how long the names of
    /// a crashed peer stay taken. 5 s to 1 h; [`DEFAULT_LEASE_TTL`](crate::DEFAULT_LEASE_TTL) by
    /// default.
    ///
    /// `ServerCfg.LeaseDuration` in Go, where it is 60 s.
    #[must_use]
    #[doc(alias("ServerCfg.LeaseDuration", "LeaseDuration"))]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.settings.lease_ttl = ttl;
        self
    }

    /// How long [`bind`](Self::bind) waits at most while another holder has the address in the
    /// registry. 1 s to 24 h; three times the [`lease_ttl`](Self::lease_ttl) and 3 s by default.
    ///
    /// A holder that has crashed keeps the address until its lease has run out, and etcd starts
    /// leases anew when it changes its leader. A holder that renews its lease is reported sooner,
    /// when the lease that it had at first should have run out. Either way the error is
    /// [`AddressInUse`](crate::ServerErrorKind::AddressInUse), with its
    /// [`holder`](ServerError::holder). After the timeout, `bind` ends with the attempt that is on
    /// its way, which takes a little more than one `lease_ttl` at most.
    ///
    /// It does not apply when the peer joins again: that waits for as long as it takes.
    #[must_use]
    pub fn join_timeout(mut self, timeout: Duration) -> Self {
        self.settings.join_timeout = Some(timeout);
        self
    }

    /// How long the runtime that the server is bound on may stall, because code in its tasks blocks
    /// all of its threads, before the peer is fenced. 1 s to 1 h; the
    /// [`lease_ttl`](Self::lease_ttl) by default.
    ///
    /// A thread of its own renews the peer's lease, and user code cannot starve it. So after a
    /// shorter stall the peer still has its lease and its names. A longer one fences the peer
    /// ([`FenceReason::RuntimeStalled`](crate::FenceReason::RuntimeStalled)): its lease is not
    /// renewed any more, and other peers can take its names when the lease expires, at most one
    /// `lease_ttl` later. When the runtime runs again, the actors end, and the peer rejoins.
    ///
    /// Threads that are blocked while another one of the runtime is idle are no stall.
    ///
    /// Time in which the whole process was stopped or the machine suspended does not count: that is
    /// what `lease_ttl` limits. Stalls of a second and more are logged, and the longest is in the
    /// [statistics](crate::ServerStatistics::longest_runtime_stall).
    #[must_use]
    pub fn max_stall(mut self, time: Duration) -> Self {
        self.settings.max_stall = Some(time);
        self
    }

    /// How long actors have to end when they are asked to, before they are aborted; and how long a
    /// shutdown waits for the answers to what the server's mailboxes have admitted.
    /// [`DEFAULT_SHUTDOWN_TIMEOUT`](crate::DEFAULT_SHUTDOWN_TIMEOUT) by default. The Go library has
    /// no such setting: its `Stop` waits for as long as it takes.
    #[must_use]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.settings.shutdown_timeout = timeout;
        self
    }

    /// How long the constructor of an actor may take, from 1 ms to 1 h.
    /// [`DEFAULT_CONSTRUCTOR_TIMEOUT`](crate::DEFAULT_CONSTRUCTOR_TIMEOUT) by default. It applies to
    /// every start, that of the leader included. A constructor that has not ended by then is dropped
    /// at its next await: its name is released, and the start fails with
    /// [`StartFailed`](crate::RequestErrorKind::StartFailed).
    ///
    /// A peer has at most 256 starts under way, and refuses more as
    /// [busy](crate::RequestErrorKind::Busy). A start counts until its constructor has ended, also
    /// when its caller has stopped waiting, so this bounds how long constructors that hang can keep
    /// others out.
    #[must_use]
    pub fn constructor_timeout(mut self, timeout: Duration) -> Self {
        self.settings.constructor_timeout = timeout;
        self
    }

    /// The largest message that is taken and sent, in bytes; 4 MiB by default, as in the Go
    /// library. At most 1 GiB.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_message_bytes = bytes;
        self
    }

    /// The most actors that run on the peer at once:
    /// [`DEFAULT_MAX_ACTORS`](crate::DEFAULT_MAX_ACTORS) by default. A start beyond it is refused
    /// as [busy](crate::RequestErrorKind::Busy).
    #[must_use]
    pub fn max_actors(mut self, actors: usize) -> Self {
        self.settings.max_actors = actors;
        self
    }

    /// The most bytes of requests that the peer holds for other processes: those that are arriving
    /// and those that are queued, until they are handed out.
    /// [`DEFAULT_MAX_RECEIVED_BYTES`](crate::DEFAULT_MAX_RECEIVED_BYTES) by default, and at least
    /// twice [what one connection may take](Self::max_received_bytes_per_connection). The
    /// connections from one address take at most half of it.
    ///
    /// A large request that finds no room waits while others are arriving. One that finds the room
    /// filled by requests that are queued is rejected as [busy](crate::RequestErrorKind::Busy).
    #[must_use]
    pub fn max_received_bytes(mut self, bytes: usize) -> Self {
        self.settings.wire.received_bytes = Some(bytes);
        self
    }

    /// The most bytes of requests that the peer holds for one connection, and the most of replies:
    /// [`DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION`] by default, and at least four times the
    /// [largest message](Self::max_message_bytes).
    ///
    /// [`DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION`]:
    ///     crate::DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION
    #[must_use]
    pub fn max_received_bytes_per_connection(mut self, bytes: usize) -> Self {
        self.settings.wire.received_bytes_per_connection = Some(bytes);
        self
    }

    /// The most bytes of replies to other processes that the peer holds until they are sent: as
    /// many as of [requests](Self::max_received_bytes) by default. Those to one address take at
    /// most half of it.
    ///
    /// A reply that finds no room is lost: its requester gets a
    /// [busy](crate::RequestErrorKind::Busy) error that says that the request was executed.
    #[must_use]
    pub fn max_reply_bytes(mut self, bytes: usize) -> Self {
        self.settings.wire.reply_bytes = Some(bytes);
        self
    }

    /// The most requests that may be under way on one connection from another process:
    /// [`DEFAULT_MAX_STREAMS_PER_CONNECTION`](crate::DEFAULT_MAX_STREAMS_PER_CONNECTION) by
    /// default. A client's further requests wait at the client.
    #[must_use]
    pub fn max_streams_per_connection(mut self, streams: u32) -> Self {
        self.settings.wire.streams_per_connection = streams;
        self
    }

    /// The most connections from other processes at a time, half of them from one address:
    /// [`DEFAULT_MAX_CONNECTIONS`](crate::DEFAULT_MAX_CONNECTIONS) by default. For one more, one
    /// that is silent or idle is closed.
    ///
    /// So that connections do not use up the descriptors of the process, its limit on open files
    /// is raised if that is allowed. Where it stays lower, the peer has fewer connections: a
    /// quarter of the limit, and at most 256 descriptors, is left for all else.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.wire.connections = connections;
        self
    }

    /// Exempts the address of a proxy, through which many clients come, from the limits on the
    /// connections and the bytes of one address. None by default.
    #[must_use]
    pub fn proxy(mut self, address: IpAddr) -> Self {
        self.settings.wire.proxies.push(address);
        self
    }

    /// Keeps the leader off this peer, though it registers the type. Allowed by default.
    /// `ServerCfg.DisallowLeadership` in Go.
    #[must_use]
    #[doc(alias("ServerCfg.DisallowLeadership", "DisallowLeadership"))]
    pub fn disallow_leadership(mut self) -> Self {
        self.settings.leadership = false;
        self
    }

    /// Ends the process when an actor, or a task that it has [spawned](crate::ActorContext::spawn),
    /// does not end within a second after it was aborted, as it runs code that never awaits.
    /// Without this, the peer reports it and keeps its name from being started again here.
    #[must_use]
    pub fn abort_process_when_stuck(mut self) -> Self {
        self.settings.abort_process_when_stuck = true;
        self
    }

    /// The events of the server from before its first state on: see [`ServerHandle::events`]. They
    /// end when the server does not start.
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

    /// Uses another environment than the real one.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.settings.environment = environment;
        self
    }

    /// Listens on `address` (`host:port`; port 0 takes a free one), registers the peer, and serves.
    ///
    /// If another holder has the address in the registry (the last process on it crashed, say),
    /// waits until its lease must have run out, for at most
    /// [`join_timeout`](Self::join_timeout). Meanwhile it knows no mailbox, and answers to health
    /// checks that it does not serve.
    ///
    /// # Errors
    ///
    /// [`ServerError`]; nothing is left registered or running.
    ///
    /// # Cancel safety
    ///
    /// A task of the library carries out the start, and goes on while the future is not polled.
    /// When the future is dropped, the task gives up the start:
    ///
    /// - While it joins, the port is free again at once. The registrations made by then are deleted
    ///   as soon as the registry answers, within a little more than the lease's time to live. If
    ///   that fails (the runtime ends, or the registry is away), the lease expires; the same
    ///   address can be bound again then.
    /// - Once the server serves (the future was not polled since), it is shut down as by
    ///   [`shutdown`](crate::ServerHandle::shutdown); the port is free at the end of that.
    ///
    /// So a program can wait for a signal while it starts, which takes as long as a lease if the
    /// last process on the address has crashed:
    ///
    /// ```no_run
    /// use actorgrid::{BoxError, Registry, Server};
    ///
    /// # async fn ctrl_c() {}
    /// async fn serve(registry: Registry) -> Result<(), BoxError> {
    ///     // From tokio::signal::ctrl_c(), say.
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
        serve(self.settings.check()?, Listener::Tcp(listener)).await
    }
}

/// The addresses to listen on. Names are looked up by the system, once, at the start.
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
