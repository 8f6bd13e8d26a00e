//! A message that carries a text.

use bytes::{Bytes, BytesMut};
use prost::encoding;

use super::decode_error::DecodeError;
use super::message::Message;
use crate::wire::grid;

/// A message that carries a text, for examples and tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EchoMsg {
    /// The text.
    pub msg: String,
}

impl EchoMsg {
    /// Creates a message with this text.
    pub fn new(msg: impl Into<String>) -> Self {
        Self { msg: msg.into() }
    }
}

/// The tag of the text field.
const MSG: u32 = 1;

// Written by hand: the generated type would need a copy of the text for each call.
impl Message for EchoMsg {
    type Reply = Self;
    const WIRE_NAME: &'static str = "github.com/lytics/grid/v3/EchoMsg";

    fn encoded_len(&self) -> usize {
        match self.msg.is_empty() {
            true => 0,
            false => encoding::string::encoded_len(MSG, &self.msg),
        }
    }

    fn encode(&self, buffer: &mut BytesMut) {
        if !self.msg.is_empty() {
            encoding::string::encode(MSG, &self.msg, buffer);
        }
    }

    fn decode(_wire_name: &str, bytes: Bytes) -> Result<Self, DecodeError> {
        let read = <grid::EchoMsg as prost::Message>::decode(bytes).map_err(DecodeError::new)?;
        Ok(Self { msg: read.msg })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    #[test]
    fn is_written_as_the_generated_type() {
        for text in ["", "a", "naïve", &"x".repeat(100_000)] {
            let message = EchoMsg::new(text);
            let generated = grid::EchoMsg {
                msg: text.to_owned(),
            };
            let mut buffer = BytesMut::new();
            message.encode(&mut buffer);
            assert_eq!(buffer, generated.encode_to_vec());
            assert_eq!(Message::encoded_len(&message), buffer.len());
            let read = <EchoMsg as Message>::decode("", buffer.freeze());
            assert_eq!(read.unwrap(), message);
        }
    }
}
