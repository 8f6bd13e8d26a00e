//! Messages: protobuf values with a wire name and a reply type.

mod builtin;
mod payload;

use std::any::Any;
use std::fmt;

use bytes::{Bytes, BytesMut};

pub use builtin::{Ack, ActorStart, ActorStop, EchoMsg};
pub use payload::Payload;

/// What the Go library puts before a wire name when it is vendored; accepted before every name.
const VENDOR_PREFIX: &str = "github.com/lytics/lio/vendor/";

/// A protobuf value that travels between actors.
///
/// Derive it beside `prost::Message`: the derive takes the wire name from the package and the
/// type (`my-package/Job`), and `#[grid(name = "...", alias = "...", reply = Done)]` sets others.
/// Without `reply` the answer is an [`Ack`].
///
/// ```
/// #[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]
/// #[grid(reply = Done, name = "shop/Job", alias = "shop/OldJob")]
/// struct Job {
///     #[prost(string, tag = "1")]
///     text: String,
/// }
///
/// #[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]
/// struct Done {}
///
/// use actorgrid::Message;
/// assert_eq!(Job::default().wire_name(), "shop/Job");
/// assert!(Job::accepts("shop/OldJob"));
/// ```
pub trait Message: Send + Sized + 'static {
    /// What a request with this message is answered with.
    type Reply: Message;

    /// The name under which the message is sent. Empty for [`Payload`] alone, whose values carry
    /// their own.
    const WIRE_NAME: &'static str;

    /// Further names under which the message is accepted.
    const ALIASES: &'static [&'static str] = &[];

    /// The name under which this value is sent.
    fn wire_name(&self) -> &str {
        Self::WIRE_NAME
    }

    /// Whether a value of this wire name can be read as this message.
    #[must_use]
    fn accepts(wire_name: &str) -> bool {
        let name = wire_name.strip_prefix(VENDOR_PREFIX).unwrap_or(wire_name);
        name == Self::WIRE_NAME || Self::ALIASES.contains(&name)
    }

    /// The number of bytes that [`encode`](Self::encode) appends.
    fn encoded_len(&self) -> usize;

    /// Appends the protobuf encoding.
    fn encode(&self, buffer: &mut BytesMut);

    /// Reads the protobuf encoding. `wire_name` is one that [`accepts`](Self::accepts) has accepted.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are not this message.
    fn decode(wire_name: &str, bytes: Bytes) -> Result<Self, DecodeError>;
}

/// The bytes of a message are not what its wire name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError(String);

impl DecodeError {
    /// An error with this text.
    pub fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

/// A message of any type, as a box holds it on its way.
pub(crate) trait AnyMessage: Send {
    fn wire_name(&self) -> &str;
    fn encoded_len(&self) -> usize;
    fn encode(&self) -> Bytes;
    fn as_any(&self) -> &dyn Any;
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

impl<M: Message> AnyMessage for M {
    fn wire_name(&self) -> &str {
        Message::wire_name(self)
    }

    fn encoded_len(&self) -> usize {
        Message::encoded_len(self)
    }

    fn encode(&self) -> Bytes {
        let mut buffer = BytesMut::with_capacity(Message::encoded_len(self));
        Message::encode(self, &mut buffer);
        buffer.freeze()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// A message on its way: by value within a process, as bytes between processes.
pub(crate) enum Body {
    Value(Box<dyn AnyMessage>),
    Encoded(Payload),
}

/// Why a [`Body`] is not the message that is wanted.
pub(crate) enum BodyError {
    /// It has another type; here it is, whole.
    Type(Body),
    /// Its bytes cannot be read.
    Bytes(DecodeError),
}

impl Body {
    pub(crate) fn value<M: Message>(message: M) -> Self {
        Self::Value(Box::new(message))
    }

    pub(crate) fn wire_name(&self) -> &str {
        match self {
            Self::Value(value) => value.wire_name(),
            Self::Encoded(payload) => payload.wire_name(),
        }
    }

    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Self::Value(value) => value.encoded_len(),
            Self::Encoded(payload) => payload.bytes().len(),
        }
    }

    /// The bytes; cheap when they are there already.
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Value(value) => value.encode(),
            Self::Encoded(payload) => payload.bytes().clone(),
        }
    }

    /// The message as `M`: moved when it is one, else read from its encoding when `M` accepts its name.
    pub(crate) fn into_message<M: Message>(self) -> Result<M, BodyError> {
        match self {
            Self::Value(value) if value.as_any().is::<M>() => {
                match value.into_any().downcast::<M>() {
                    Ok(message) => Ok(*message),
                    Err(_) => Err(BodyError::Bytes(DecodeError::new(
                        "a message changed its type",
                    ))),
                }
            }
            other if !M::accepts(other.wire_name()) => Err(BodyError::Type(other)),
            Self::Value(value) => {
                M::decode(value.wire_name(), value.encode()).map_err(BodyError::Bytes)
            }
            Self::Encoded(payload) => {
                let (name, bytes) = payload.into_parts();
                M::decode(&name, bytes).map_err(BodyError::Bytes)
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Body({}, {} bytes)",
            self.wire_name(),
            self.encoded_len()
        )
    }
}

#[cfg(test)]
mod tests;
