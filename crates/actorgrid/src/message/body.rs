//! A message on its way between actors.

use std::fmt;

use bytes::Bytes;

use super::any_message::AnyMessage;
use super::body_ref::BodyRef;
use super::decode_error::DecodeError;
use super::message::Message;
use super::payload::Payload;

/// A message on its way: by value within a process, as bytes between processes.
pub(crate) enum Body {
    Value(Box<dyn AnyMessage>),
    Encoded(Payload),
}

/// Why a [`Body`] is not the expected message.
pub(crate) enum BodyError {
    /// It has another type; this is the unchanged body.
    Type(Body),
    /// Its bytes cannot be decoded.
    Bytes(DecodeError),
}

impl Body {
    pub(crate) fn value<M: Message>(message: M) -> Self {
        Self::Value(Box::new(message))
    }

    /// Returns the message as a value; an encoded one as a [`Payload`].
    pub(crate) fn into_value(self) -> Box<dyn AnyMessage> {
        match self {
            Self::Value(value) => value,
            Self::Encoded(payload) => Box::new(payload),
        }
    }

    /// Borrows the message.
    pub(crate) fn by_ref(&self) -> BodyRef<'_> {
        match self {
            Self::Value(value) => BodyRef::Value(&**value),
            Self::Encoded(payload) => BodyRef::Encoded(payload),
        }
    }

    pub(crate) fn wire_name(&self) -> &str {
        self.by_ref().wire_name()
    }

    pub(crate) fn encoded_len(&self) -> usize {
        self.by_ref().encoded_len()
    }

    /// Returns the encoded bytes; cheap if the body is already encoded.
    pub(crate) fn encode(&self) -> Bytes {
        self.by_ref().encode()
    }

    /// Returns the message as `M`: moved if it is one, else decoded from its encoding if `M`
    /// accepts its name.
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
            Self::Encoded(payload) => payload.into_message().map_err(BodyError::Bytes),
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
