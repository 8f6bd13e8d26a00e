//! The messages of requests: protobuf with the gRPC prefix.

use actorgrid::EchoMsg;
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::peer::NAMESPACE;

const DATA_TAG: u8 = 2 << 3 | 2;
const TYPE_TAG: u8 = 3 << 3 | 2;
const RECEIVER_TAG: u8 = 4 << 3 | 2;
/// The tag of the only field of an echo message, and of the first one of a start.
const FIRST_TAG: u8 = 1 << 3 | 2;
const SECOND_TAG: u8 = 2 << 3 | 2;
const ECHO_TYPE: &str = <EchoMsg as actorgrid::Message>::WIRE_NAME;
const START_TYPE: &str = <actorgrid::ActorStart as actorgrid::Message>::WIRE_NAME;
const STOP_TYPE: &str = <actorgrid::ActorStop as actorgrid::Message>::WIRE_NAME;

/// A complete message with its prefix.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Bytes,
}

impl Message {
    /// Creates a text message for a mailbox.
    pub(crate) fn text(mailbox: &str, text: &[u8]) -> Self {
        delivery(mailbox, ECHO_TYPE, &field(FIRST_TAG, text))
    }

    /// Creates a text message of at most `bytes` bytes without the prefix, and only a little less.
    pub(crate) fn of_length(mailbox: &str, bytes: usize) -> Self {
        // The tags and lengths of four fields take less than this.
        let around = Self::text(mailbox, b"").bytes.len() + 16;
        let text = vec![b'x'; bytes.saturating_sub(around)];
        Self::text(mailbox, &text)
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Returns the beginning of a message that announces `length` bytes: its prefix and its first byte.
pub(crate) fn cut_message(length: u32) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(length);
    bytes.put_u8(DATA_TAG);
    bytes.freeze()
}

/// Creates the order to a peer to start an actor.
pub(crate) fn start_message(peer: &str, actor_type: &str, name: &str) -> Message {
    let mut start = field(FIRST_TAG, actor_type.as_bytes());
    start.extend(field(SECOND_TAG, name.as_bytes()));
    delivery(peer, START_TYPE, &start)
}

/// Creates the order to a peer to stop an actor.
pub(crate) fn stop_message(peer: &str, name: &str) -> Message {
    delivery(peer, STOP_TYPE, &field(FIRST_TAG, name.as_bytes()))
}

fn delivery(mailbox: &str, type_name: &str, data: &[u8]) -> Message {
    let receiver = format!("{NAMESPACE}.mailbox.{mailbox}");
    let mut body = field(DATA_TAG, data);
    body.extend(field(TYPE_TAG, type_name.as_bytes()));
    body.extend(field(RECEIVER_TAG, receiver.as_bytes()));
    let mut bytes = BytesMut::with_capacity(5 + body.len());
    bytes.put_u8(0);
    // No message here is too long for four bytes of length.
    bytes.put_u32(body.len() as u32);
    bytes.put_slice(&body);
    Message {
        bytes: bytes.freeze(),
    }
}

fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u64;
    let mut field = Vec::with_capacity(1 + encoded_len_varint(length) + bytes.len());
    field.push(tag);
    encode_varint(length, &mut field);
    field.extend_from_slice(bytes);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_that_of_the_library() {
        // The bytes that the library's own tests pin for the same start, in another namespace.
        let start = start_message("127-0-0-1-23920", "echo", "w1");
        let mut expected = vec![0x12, 0x0a, 0x0a, 0x04];
        expected.extend(b"echo\x12\x02w1");
        assert_eq!(&start.bytes()[5..5 + expected.len()], expected);
        assert_eq!(
            start.bytes()[..5],
            [0, 0, 0, 0, (start.bytes().len() - 5) as u8]
        );
    }

    #[test]
    fn a_message_of_a_length_is_no_longer() {
        let message = Message::of_length("echo", 4 << 20);
        let body = message.bytes().len() - 5;
        assert!(body <= 4 << 20 && body > (4 << 20) - 64, "{body}");
    }

    #[test]
    fn a_cut_message_announces_more_than_it_contains() {
        assert_eq!(&cut_message(4 << 20)[..], [0, 0, 0x40, 0, 0, DATA_TAG]);
    }
}
