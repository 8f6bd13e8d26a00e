//! Boxed messages of any type.

use std::any::Any;

use bytes::{Bytes, BytesMut};

use super::message::Message;

/// A message of any type, boxed while it is on its way.
pub(crate) trait AnyMessage: Send {
    fn wire_name(&self) -> &str;
    fn encoded_len(&self) -> usize;
    fn encode(&self) -> Bytes;
    /// Appends the encoding to a buffer.
    fn encode_into(&self, buffer: &mut BytesMut);
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

    fn encode_into(&self, buffer: &mut BytesMut) {
        Message::encode(self, buffer);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
