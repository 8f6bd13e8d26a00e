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
/// The byte before its length: its tag, and that it has a length.
const MSG_KEY: u8 = 0x0a;

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
        match u8::try_from(self.msg.len()) {
            Ok(0) => {}
            Ok(length) if length < 0x80 => {
                buffer.extend_from_slice(&[MSG_KEY, length]);
                buffer.extend_from_slice(self.msg.as_bytes());
            }
            _ => encoding::string::encode(MSG, &self.msg, buffer),
        }
    }

    fn decode(wire_name: &str, bytes: Bytes) -> Result<Self, DecodeError> {
        Self::decode_from(wire_name, &bytes)
    }

    fn decode_from(_wire_name: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        // Most are one short text.
        if let Some((&[MSG_KEY, length], text)) = bytes.split_first_chunk()
            && length < 0x80
            && text.len() == usize::from(length)
            // Checked behind the copy: it is aligned there.
            && let Ok(msg) = String::from_utf8(text.to_vec())
        {
            return Ok(Self { msg });
        }
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
        for length in [0, 1, 127, 128, 255, 256, 100_000] {
            let text = &"x".repeat(length);
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

    #[test]
    fn is_read_as_the_generated_type() {
        let cases: [&[u8]; 9] = [
            b"",
            b"\x0a\x00",
            b"\x0a\x01a",
            b"\x0a\x02a",
            b"\x0a\x01ab",
            b"\x0a\x81\x00a",
            b"\x0a\x01a\x0a\x01b",
            b"\x12\x01a",
            b"\x0a\x01\xff",
        ];
        for bytes in cases {
            let read = EchoMsg::decode_from("", bytes).map(|message| message.msg);
            let generated = grid::EchoMsg::decode(bytes).map(|message| message.msg);
            assert_eq!(read, generated.map_err(DecodeError::new), "{bytes:?}");
        }
    }
}
