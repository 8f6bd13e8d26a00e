//! Messages that stay encoded.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::decode_error::DecodeError;
use super::message::Message;

/// A message of any type in its encoded form: a wire name and bytes. It is its own reply type.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    wire_name: WireName,
    bytes: Bytes,
}

/// A wire name. Those of messages that a link brings are shared, as they repeat.
#[derive(Clone)]
enum WireName {
    Own(Cow<'static, str>),
    Shared(Arc<str>),
}

impl WireName {
    fn as_str(&self) -> &str {
        match self {
            Self::Own(name) => name,
            Self::Shared(name) => name,
        }
    }
}

impl PartialEq for WireName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for WireName {}

impl Payload {
    /// Creates a payload with this wire name and these bytes.
    pub fn new(wire_name: impl Into<Cow<'static, str>>, bytes: impl Into<Bytes>) -> Self {
        Self {
            wire_name: WireName::Own(wire_name.into()),
            bytes: bytes.into(),
        }
    }

    /// The same, with a wire name that others have as well.
    pub(crate) const fn shared(wire_name: Arc<str>, bytes: Bytes) -> Self {
        Self {
            wire_name: WireName::Shared(wire_name),
            bytes,
        }
    }

    /// Encodes a message.
    pub fn of<M: Message>(message: &M) -> Self {
        let mut buffer = BytesMut::with_capacity(message.encoded_len());
        message.encode(&mut buffer);
        let wire_name = match message.wire_name() {
            name if name == M::WIRE_NAME => Cow::Borrowed(M::WIRE_NAME),
            name => Cow::Owned(name.to_owned()),
        };
        Self::new(wire_name, buffer.freeze())
    }

    /// Decodes the message as an `M`.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError`] if `M` does not accept the wire name, or if the bytes are not an
    /// `M`.
    pub fn decode<M: Message>(&self) -> Result<M, DecodeError> {
        if !M::accepts(self.wire_name()) {
            return Err(DecodeError::new(format_args!(
                "a payload of type {:?} is not a {}",
                self.wire_name(),
                M::WIRE_NAME
            )));
        }
        M::decode(self.wire_name(), self.bytes.clone())
    }

    /// The message, of a type that accepts the wire name.
    pub(crate) fn into_message<M: Message>(self) -> Result<M, DecodeError> {
        M::decode(self.wire_name.as_str(), self.bytes)
    }

    /// Returns the wire name.
    #[must_use]
    pub fn wire_name(&self) -> &str {
        self.wire_name.as_str()
    }

    /// Returns the protobuf bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Payload({:?}, {} bytes)",
            self.wire_name(),
            self.bytes.len()
        )
    }
}

impl Message for Payload {
    type Reply = Self;
    const WIRE_NAME: &'static str = "";

    fn wire_name(&self) -> &str {
        self.wire_name.as_str()
    }

    fn accepts(_wire_name: &str) -> bool {
        true
    }

    fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    fn encode(&self, buffer: &mut BytesMut) {
        buffer.extend_from_slice(&self.bytes);
    }

    fn decode(wire_name: &str, bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(Self::new(wire_name.to_owned(), bytes))
    }
}
