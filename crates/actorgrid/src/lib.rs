//! Stateful actors on the peers of a grid.

// The derives name this crate by its public name, here as everywhere.
extern crate self as actorgrid;

mod address;
#[allow(dead_code)]
mod client;
mod environment;
mod error;
mod message;
mod name;
mod registry;
mod ring;
#[allow(dead_code)]
mod server;
mod token;
mod wire;

pub use address::{Address, AddressError};
pub use environment::{Environment, Simulation};
pub use error::{BoxError, RequestError, RequestErrorKind};
pub use message::{Ack, ActorStart, ActorStop, DecodeError, EchoMsg, Message, Payload};
pub use name::{IntoName, MAX_NAME_LEN, Name, NameError, Namespace};
pub use registry::{
    Kind, MemoryFault, MemoryOperation, MemoryRegistry, Registration, Registry, RegistryError,
    RegistryErrorKind,
};
pub use ring::Ring;
pub use token::{ClusterId, Token, TokenError};
