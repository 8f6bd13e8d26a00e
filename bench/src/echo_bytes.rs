//! The message of the load.

use actorgrid::Message;
use bytes::Bytes;

/// Bytes that are sent back.
///
/// Decoded from a message that came, they are a part of it: nothing is copied.
#[derive(Clone, PartialEq, Eq, prost::Message, Message)]
#[grid(reply = EchoBytes)]
pub struct EchoBytes {
    /// The content.
    #[prost(bytes = "bytes", tag = "1")]
    pub content: Bytes,
}

impl EchoBytes {
    /// A message with a content of `bytes` bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self {
            content: Bytes::from(vec![b'x'; bytes]),
        }
    }
}
