//! A message on its way, borrowed to be encoded.

use bytes::{Bytes, BytesMut};

use super::any_message::AnyMessage;
use super::payload::Payload;

/// A borrowed message, by value or as bytes.
#[derive(Clone, Copy)]
pub(crate) enum BodyRef<'a> {
    Value(&'a dyn AnyMessage),
    Encoded(&'a Payload),
}

impl<'a> BodyRef<'a> {
    pub(crate) fn wire_name(self) -> &'a str {
        match self {
            Self::Value(value) => value.wire_name(),
            Self::Encoded(payload) => payload.wire_name(),
        }
    }

    pub(crate) fn encoded_len(self) -> usize {
        match self {
            Self::Value(value) => value.encoded_len(),
            Self::Encoded(payload) => payload.bytes().len(),
        }
    }

    /// Returns the encoded bytes; cheap if the message is already encoded.
    pub(crate) fn encode(self) -> Bytes {
        match self {
            Self::Value(value) => value.encode(),
            Self::Encoded(payload) => payload.bytes().clone(),
        }
    }

    /// Appends the bytes to a buffer.
    pub(crate) fn encode_into(self, buffer: &mut BytesMut) {
        match self {
            Self::Value(value) => value.encode_into(buffer),
            Self::Encoded(payload) => buffer.extend_from_slice(payload.bytes()),
        }
    }
}
