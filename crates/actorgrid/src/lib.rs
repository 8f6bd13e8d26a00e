//! Stateful actors on the peers of a grid: unique names, fencing tokens, protobuf messages.
//!
//! A **grid** is a set of peers that share a namespace in a registry. Each **peer** is one
//! [`Server`]. Peers run **actors**, each under a name that is unique in the grid, and
//! [`Client`]s send typed requests to the actors' **mailboxes**. If a peer registers the actor type
//! `leader`, the grid keeps one actor of that type and name running.
//!
//! ```
//! use actorgrid::{ActorStart, ActorType, EchoMsg, Registry, Request, Server};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), actorgrid::BoxError> {
//! let echo = ActorType::from_fn("echo", async |_start, ctx| {
//!     let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(100).await?;
//!     while let Some(request) = mailbox.recv().await {
//!         let text = format!("{} to you", request.message().msg);
//!         request.respond(EchoMsg::new(text))?;
//!     }
//!     Ok(())
//! });
//! let server = Server::builder("mygrid", Registry::connect("memory:").await?)
//!     .actor_type(echo.mailbox::<Request<EchoMsg>>(100))
//!     .bind("127.0.0.1:0")
//!     .await?;
//!
//! let client = server.client();
//! client.start(server.peer(), ActorStart::new("echo-1", "echo")).await?;
//! let answer = client.request("echo-1", EchoMsg::new("good morning")).await?;
//! assert_eq!(answer.msg, "good morning to you");
//! server.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # One holder
//!
//! A resource that checks tokens accepts at most one holder of a name at a time. A peer stops its
//! actors before its lease can have expired (self-fencing), and the token that
//! [`ctx.token()`](ActorContext::token) returns lets any outside resource reject a former holder.
//!
//! Nothing more is promised about names. Self-fencing needs clocks whose rates differ by less than
//! the margin (a tenth of the lease's time to live, but at least one second), and a registry that
//! does not end a lease early. If these conditions do not hold (a machine is paused from outside,
//! or an operator revokes a lease), only [`Token`]s protect you: send one with each change to a
//! database, a queue or a file; that resource must remember the greatest token it has seen for the
//! name and reject smaller ones. A peer watches the keys of its own session, but not the key of
//! each actor: if somebody deletes an actor's key from outside, only the actor's token protects it.
//!
//! # Vocabulary
//!
//! | word | meaning |
//! |---|---|
//! | grid | all peers that share a namespace |
//! | [namespace](Namespace) | prefix of every key of a grid |
//! | peer | one [`Server`], named after its address (`127.0.0.1:7777` is `127-0-0-1-7777`) |
//! | [actor type](ActorType) | the name under which a peer registers how to create an actor |
//! | [actor](Actor) | a running computation with a grid-unique name; an async fn of its [context](ActorContext) |
//! | [mailbox](Mailbox) | a grid-unique name that receives [requests](Request), with a bounded queue |
//! | [group](Group) | mailboxes that are asked together |
//! | [message](trait@Message) | a protobuf message with a wire name and a reply type |
//! | leader | the actor named and typed `leader`, one per grid, kept running by the peers |
//! | [registry](Registry) | the coordination service that records who holds which name |
//! | lease | a claim in the registry that expires unless it is renewed; all keys put under it are deleted with it |
//! | link | the connection over which one process of this library sends requests to another; clients of the Go library use gRPC on the same port ([`ServerBuilder::link`]) |
//! | session | a period for which a peer is registered, under a lease of its own; once it has ended, it never resumes |
//! | fenced | describes a session that is over: nothing more is admitted or answered under it, and its actors are ended |
//! | [token](Token) | the cluster and create revision of a registration; grows with every new holder of a name |
//!
//! # A larger example
//!
//! Your own messages derive [`Message`](trait@Message) in addition to `prost::Message`. The reply
//! type belongs to the message, so caller and handler cannot disagree on it.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use actorgrid::{
//!     Actor, ActorContext, ActorResult, ActorStart, BoxError, Client, Kind, MessageSet, Registry,
//!     Request, Server,
//! };
//!
//! #[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]
//! #[grid(reply = Done)]
//! struct Job {
//!     #[prost(string, tag = "1")]
//!     text: String,
//! }
//!
//! #[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]
//! struct Done {
//!     #[prost(uint64, tag = "1")]
//!     words: u64,
//! }
//!
//! /// Without a `reply`, a message is answered with an `Ack`.
//! #[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]
//! struct Reset {}
//!
//! #[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]
//! struct Config {
//!     #[prost(uint64, tag = "1")]
//!     first: u64,
//! }
//!
//! /// A mailbox for several messages.
//! #[derive(MessageSet)]
//! enum Work {
//!     Job(Request<Job>),
//!     Reset(Request<Reset>),
//! }
//!
//! struct Worker {
//!     words: u64,
//! }
//!
//! impl Actor for Worker {
//!     async fn act(mut self, ctx: ActorContext) -> ActorResult {
//!         // The mailbox is named after the actor.
//!         let mut mailbox = ctx.mailbox::<Work>(100).await?;
//!         // None once the actor is asked to stop and the queue is empty.
//!         while let Some(work) = mailbox.recv().await {
//!             match work {
//!                 Work::Job(request) => {
//!                     // Send the token with everything that is stored outside the grid.
//!                     let _token = ctx.token()?;
//!                     self.words += request.message().text.split_whitespace().count() as u64;
//!                     // The reply must be of the message's reply type. Answer once; to answer
//!                     // with an error, use `.fail(error)`.
//!                     request.respond(Done { words: self.words })?;
//!                 }
//!                 Work::Reset(request) => {
//!                     self.words = 0;
//!                     request.respond(Default::default())?;
//!                 }
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! struct Leader;
//!
//! impl Actor for Leader {
//!     async fn act(self, ctx: ActorContext) -> ActorResult {
//!         let client = ctx.client();
//!         for peer in client.query(Kind::Peer).await? {
//!             let start = ActorStart::new(format!("worker-{}", peer.name), "worker");
//!             client.start(&peer, start.message(&Config { first: 0 })).await?;
//!         }
//!         ctx.stopping().await;
//!         Ok(())
//!     }
//! }
//!
//! # async fn ctrl_c() {}
//! async fn serve(registry: Registry) -> Result<(), BoxError> {
//!     let server = Server::builder("mygrid", registry)
//!         .actor("leader", async |_start| Ok(Leader))
//!         // Runs after the name is registered, and may fail.
//!         .actor("worker", async |start| {
//!             let words = start.decode::<Config>()?.first;
//!             Ok(Worker { words })
//!         })
//!         .bind("127.0.0.1:7777")
//!         .await?;
//!     server.run_until(ctrl_c()).await?;
//!     Ok(())
//! }
//!
//! async fn ask(registry: Registry) -> Result<(), BoxError> {
//!     let client = Client::new("mygrid", registry);
//!     let job = Job { text: "to be or not to be".to_owned() };
//!     let done = client
//!         .request("worker-7", job)
//!         .deadline(Duration::from_secs(2))
//!         .idempotent()
//!         .await?;
//!     println!("{} words", done.words);
//!
//!     let (now, mut changes) = client.watch(Kind::Actor).await?;
//!     println!("{} actors run", now.len());
//!     loop {
//!         println!("{:?}", changes.next().await);
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! # Where to go next
//!
//! - **Serve**: [`ServerBuilder`] lists every setting with its default; [`Server`] and
//!   [`ServerHandle`] run a server and shut it down; [`ServerState`] is its current state, and
//!   [`ServerEvents`] report each change.
//! - **Act**: [`Actor`] and [`ActorType`] document when constructors run and how actors end;
//!   [`ActorContext`] is the actor's access to its peer; [`Mailbox`], [`Request`] and [`Responder`]
//!   receive and answer requests; [`MessageSet`](trait@MessageSet) is for mailboxes that take
//!   several messages.
//! - **Ask**: [`Client`] sends requests, starts and stops actors, queries and watches
//!   registrations, and asks peers for their [`Health`]; [`RequestBuilder`] has the settings of one
//!   request. [`Client::broadcast`] sends a request to all members of a [`Group`], and waits for
//!   all replies, or only for the first.
//! - **Divide**: [`Rendezvous`] maps a key to members, supports weights and copies, and moves few
//!   keys when members come and go; [`Ring`] and [`MultiRing`] are the mappings of the Go library,
//!   for families of actors that Go peers also send to.
//! - **Test**: [`Simulation`] runs grids in one process without sockets, under paused time;
//!   [`MemoryRegistry`] is a registry that fails on demand.
//!
//! # Registries
//!
//! `memory:` is the embedded registry. It lives in this process: peers can be in one grid only if
//! they share clones of the [`Registry`].
//!
//! `etcd://host:2379` is etcd v3; with it a grid spans processes and machines. See
//! [`Registry::connect`] for the URL. If etcd checks permissions, the user's role must be able to
//! read and write the prefixes `<namespace>.` and `registry.uniq-lock.`, including their dots.
//! etcd 3.4 to 3.7 are supported.
//!
//! # Requests and errors
//!
//! Every request has a deadline ([`DEFAULT_DEADLINE`] unless it sets one) and ends at most 250 ms
//! after that. The library repeats a request only if it provably was not executed, and only within
//! the deadline; [`idempotent`](RequestBuilder::idempotent) allows other repeats. An error from the
//! application is an answer, so the library never repeats a request because of it; the error can
//! carry a gRPC [`Code`] and a message as its detail (see [`Failure`]).
//!
//! Each part of the API has its own error type, with a kind: [`RequestError`], [`MailboxError`],
//! [`ServerError`], [`RegistryError`]. Match on the kind, never on the text. A [`RequestError`]
//! answers the two questions that decide what a caller can do:
//! [`is_retryable`](RequestError::is_retryable) and
//! [`may_have_executed`](RequestError::may_have_executed). If the latter returns `false`, the
//! request was certainly not executed.
//!
//! A client's requests to one mailbox are admitted in the order in which they are first polled,
//! except those that are rejected and repeated, if both are on the same peer, or if a link connects
//! them and the client knows the holder of the name. Requests over gRPC have no order: await each
//! answer before you send the next request.
//!
//! # Cancel safety
//!
//! Futures of this library can be dropped at any await. Each method documents what happens then; in
//! short: a request may have been executed; a claim of a name is released; a mailbox loses no
//! request; a shutdown continues. Dropping a [`Server`] aborts its actors without waiting for them,
//! and its names stay registered until its lease expires; to stop it gracefully, use
//! [`shutdown`](ServerHandle::shutdown).
//!
//! # Panics
//!
//! A panic in a constructor, in an actor, in one of its tasks, or while one of these is dropped,
//! ends only that actor or task: the panic is logged, and an actor's name is released. Two cases
//! are beyond the library's control: a second panic while the first one unwinds ends the process,
//! and so does every panic in a program built with `panic = "abort"`.
//!
//! An actor whose code never awaits cannot be aborted. Its peer reports it, rejects its token, and
//! rejects starts under its name. With
//! [`abort_process_when_stuck`](ServerBuilder::abort_process_when_stuck), the peer ends the
//! process instead.
//!
//! # Features
//!
//! | feature | by default | what it adds |
//! |---|---|---|
//! | `etcd` | yes | the registry on etcd |
//! | `tls` | yes | connections over TLS |
//! | `serde` | no | `Serialize` and `Deserialize` for [`Name`], [`Namespace`], [`Token`], [`ClusterId`] and [`Address`] (as their text, which is validated on reading), for [`Registration`], and for kinds, states, reasons and [`Code`] (as their stable names) |
//!
//! Kinds, states and reasons have names that never change from version to version. `as_str()` and
//! `Display` return them; use them in logs and metrics.
//!
//! # Runtime
//!
//! tokio only, multi- or current-thread, with its time and network drivers enabled. Each server has
//! two threads of its own. `actorgrid-keeper`, with its own connection to the registry, renews the
//! peer's lease even while code in actors blocks the runtime, for at most
//! [`max_stall`](ServerBuilder::max_stall). `actorgrid-watchdog` fences the peer at its deadlines,
//! even if the keeper is blocked. Events are logged through `tracing`; payloads never are.

// The derives refer to this crate by its public name, inside the crate too.
extern crate self as actorgrid;

mod address;
mod back_off;
mod client;
mod code;
mod counter;
mod environment;
mod error;
mod group;
mod mailbox;
mod message;
mod name;
mod once_event;
mod registry;
mod request;
mod revision;
mod ring;
mod route;
mod server;
mod session;
mod stable_names;
mod text_form;
mod token;
mod wake_list;
mod wire;
mod wire_names;

/// Makes a struct a [`Message`](trait@Message), beside `prost::Message`.
///
pub use actorgrid_macros::Message;
/// Makes an enum a [`MessageSet`](trait@MessageSet): the messages that one mailbox takes.
///
pub use actorgrid_macros::MessageSet;

pub use address::{Address, AddressError};
pub use client::{
    BroadcastBuilder, BroadcastResult, Client, ClientBuilder, ClientStatistics,
    DEFAULT_CONCURRENCY, DEFAULT_DEADLINE, Health, HealthWatch, IncompleteBroadcast, Outcome,
    ReplyFuture, RequestBuilder, Watch, WatchEvent,
};
pub use code::Code;
pub use environment::{Deadline, Environment, MAX_DEADLINE, Simulation};
pub use error::{BoxError, RequestError, RequestErrorKind};
pub use group::Group;
pub use mailbox::{
    MAX_MAILBOX_CAPACITY, Mailbox, MailboxError, MailboxErrorKind, StopReason, Stopping,
    TokenExpired,
};
pub use message::{Ack, ActorStart, ActorStop, DecodeError, EchoMsg, Message, Payload};
pub use name::{IntoName, MAX_NAME_LEN, Name, NameError, Namespace};
pub use registry::{
    Kind, MemoryFault, MemoryOperation, MemoryRegistry, MemorySnapshot, Registration, Registry,
    RegistryError, RegistryErrorKind,
};
pub use request::{Failure, MessageSet, Request, RespondError, RespondErrorKind, Responder};
pub use ring::{MAX_RINGS, MultiRing, Rendezvous, Ring, RingError};
pub use route::{
    Caller, DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_MAX_RECEIVED_BYTES,
    DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION, DEFAULT_MAX_STREAMS_PER_CONNECTION, Incoming,
    MAX_HEADER_BYTES, MAX_HEADERS, RequestId,
};
pub use server::{
    Actor, ActorContext, ActorEnd, ActorResult, ActorType, AddressHolder, BoxActor,
    DEFAULT_CONSTRUCTOR_TIMEOUT, DEFAULT_LEASE_TTL, DEFAULT_MAX_ACTORS, DEFAULT_SHUTDOWN_TIMEOUT,
    MIN_LEASE_TTL, Server, ServerBuilder, ServerError, ServerErrorKind, ServerEvent, ServerEvents,
    ServerHandle, ServerState, ServerStatistics, ShutdownError,
};
pub use session::FenceReason;
pub use token::{ClusterId, Token, TokenError};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/from-go.md")]
struct FromGo;

/// Items that the derives expand to, and those that fuzz targets call. Not for direct use.
#[doc(hidden)]
pub mod __private {
    pub use crate::route::Pending;
    pub use crate::wire_names::{count, join, overlap};
    pub use bytes::{Bytes, BytesMut};

    /// Reads the bytes as those of a link, for the fuzz target.
    #[cfg(fuzzing)]
    pub fn read_link_bytes(bytes: &[u8]) {
        crate::route::any_bytes(bytes);
    }
}
