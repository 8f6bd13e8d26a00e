//! Stateful actors on the peers of a grid.

// The derives name this crate by its public name, here as everywhere.
extern crate self as actorgrid;

mod address;
mod client;
mod environment;
mod error;
mod mailbox;
mod message;
mod name;
mod registry;
mod request;
mod ring;
mod route;
mod server;
mod session;
mod token;
mod wire;
mod wire_names;

/// Makes a struct a [`Message`](trait@Message), beside `prost::Message`.
///
pub use actorgrid_macros::Message;
/// Makes an enum a [`MessageSet`](trait@MessageSet): a mailbox's several messages.
///
pub use actorgrid_macros::MessageSet;

pub use address::{Address, AddressError};
pub use client::{Client, ClientBuilder, DEFAULT_DEADLINE, RequestBuilder, Watch, WatchEvent};
pub use environment::{Deadline, Environment, MAX_DEADLINE, Simulation};
pub use error::{BoxError, RequestError, RequestErrorKind};
pub use mailbox::{
    MAX_MAILBOX_CAPACITY, Mailbox, MailboxError, MailboxErrorKind, StopReason, Stopping,
};
pub use message::{Ack, ActorStart, ActorStop, DecodeError, EchoMsg, Message, Payload};
pub use name::{IntoName, MAX_NAME_LEN, Name, NameError, Namespace};
pub use registry::{
    Kind, MemoryFault, MemoryOperation, MemoryRegistry, Registration, Registry, RegistryError,
    RegistryErrorKind,
};
pub use request::{MessageSet, Request, RespondError, Responder};
pub use ring::Ring;
pub use route::{DEFAULT_MAX_MESSAGE_BYTES, Incoming, MAX_HEADER_BYTES, RequestId};
pub use server::{
    Actor, ActorContext, ActorResult, ActorType, BoxActor, DEFAULT_LEASE_TTL,
    DEFAULT_SHUTDOWN_TIMEOUT, Fenced, MIN_LEASE_TTL, Server, ServerBuilder, ServerError,
    ServerErrorKind, ServerHandle, ServerState, ShutdownError,
};
pub use session::FenceReason;
pub use token::{ClusterId, Token, TokenError};

/// What the derives name, and nobody else.
#[doc(hidden)]
pub mod __private {
    pub use crate::route::Pending;
    pub use crate::wire_names::{count, join, overlap};
    pub use bytes::{Bytes, BytesMut};
}
