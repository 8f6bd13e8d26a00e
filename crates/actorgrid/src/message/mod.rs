//! Messages: protobuf values with a wire name and a reply type.

mod ack;
mod actor_start;
mod actor_stop;
mod any_message;
mod as_generated;
mod body;
mod body_ref;
mod decode_error;
mod echo_msg;
mod message;
mod payload;
#[cfg(test)]
mod tests;

pub use ack::Ack;
pub use actor_start::ActorStart;
pub use actor_stop::ActorStop;
pub(crate) use any_message::AnyMessage;
pub(crate) use body::{Body, BodyError};
pub(crate) use body_ref::BodyRef;
pub use decode_error::DecodeError;
pub use echo_msg::EchoMsg;
pub use message::Message;
pub use payload::Payload;
