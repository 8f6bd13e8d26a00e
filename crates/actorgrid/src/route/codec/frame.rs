//! Writes framed messages: the `Delivery` of the one shared method, and small messages.

use bytes::buf::Chain;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The one method of the service that is shared with the Go library.
pub(crate) const PROCESS_PATH: &str = "/grid.wire/Process";
/// How much larger than the message its envelope may be: the receiver's key (at most 2 KiB) and the
/// type's name.
pub(crate) const MAX_ENVELOPE_BYTES: usize = 8 * 1024;
/// The length of the prefix of each message: a flag for compression, and the message's length.
pub(crate) const PREFIX_BYTES: usize = 5;
/// Data up to this size is copied into one buffer with its envelope: cheaper than separate parts.
const COPIED_BYTES: usize = 4 * 1024;

const DATA_TAG: u8 = 2 << 3 | 2;
const TYPE_NAME_TAG: u8 = 3 << 3 | 2;
const RECEIVER_TAG: u8 = 4 << 3 | 2;

/// A framed message: the bytes before the data, the data, and the bytes after it.
pub(crate) type Framed = Chain<Bytes, Chain<Bytes, Bytes>>;

/// Frames a `Delivery` of version 1. The data is not copied unless it is small.
pub(crate) fn frame_delivery(data: &Bytes, type_name: &str, receiver: &str) -> Framed {
    let field = |length: usize| match length {
        0 => 0,
        _ => 1 + prost::length_delimiter_len(length) + length,
    };
    let tail_bytes = field(type_name.len()) + field(receiver.len());
    let length = field(data.len()) + tail_bytes;
    let copied = data.len() <= COPIED_BYTES;
    let room = if copied { length } else { 16 };

    let mut head = BytesMut::with_capacity(PREFIX_BYTES + room);
    head.put_u8(0);
    // The limit on messages is far below 4 GiB and is checked earlier.
    head.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    if !data.is_empty() {
        put_tag(&mut head, DATA_TAG, data.len());
    }
    if copied {
        head.put_slice(data);
        put_text(&mut head, TYPE_NAME_TAG, type_name);
        put_text(&mut head, RECEIVER_TAG, receiver);
        return head.freeze().chain(Bytes::new().chain(Bytes::new()));
    }
    let mut tail = BytesMut::with_capacity(tail_bytes);
    put_text(&mut tail, TYPE_NAME_TAG, type_name);
    put_text(&mut tail, RECEIVER_TAG, receiver);
    head.freeze().chain(data.clone().chain(tail.freeze()))
}

/// Frames a small message.
pub(crate) fn frame_message(message: &impl prost::Message) -> Framed {
    let length = message.encoded_len();
    let mut whole = BytesMut::with_capacity(PREFIX_BYTES + length);
    whole.put_u8(0);
    whole.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A `BytesMut` grows: it cannot run out of room.
    let _ = message.encode(&mut whole);
    whole.freeze().chain(Bytes::new().chain(Bytes::new()))
}

fn put_tag(buffer: &mut BytesMut, tag: u8, length: usize) {
    buffer.put_u8(tag);
    // A `BytesMut` grows: it cannot run out of room.
    let _ = prost::encode_length_delimiter(length, buffer);
}

fn put_text(buffer: &mut BytesMut, tag: u8, text: &str) {
    if !text.is_empty() {
        put_tag(buffer, tag, text.len());
        buffer.put_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::grid;
    use prost::Message as _;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    fn all(mut framed: Framed) -> Vec<u8> {
        framed.copy_to_bytes(framed.remaining()).to_vec()
    }

    /// Recorded from a Go peer: message, type, receiver, and the bytes of the delivery.
    const GOLDEN: [(&str, &str, &str, &str); 2] = [
        (
            "0a046563686f12027731",
            "github.com/lytics/grid/v3/ActorStart",
            "wire.mailbox.127-0-0-1-23920",
            "120a0a046563686f120277311a246769746875622e636f6d2f6c79746963732f677269642f76332f4163746f725374617274221c776972652e6d61696c626f782e3132372d302d302d312d3233393230",
        ),
        (
            "",
            "github.com/lytics/grid/v3/Ack",
            "",
            "1a1d6769746875622e636f6d2f6c79746963732f677269642f76332f41636b",
        ),
    ];

    #[test]
    fn writes_the_golden_bytes() {
        for (message, type_name, receiver, golden) in GOLDEN {
            let framed = all(frame_delivery(&hex(message).into(), type_name, receiver));
            let golden = hex(golden);
            let length = u32::try_from(golden.len()).unwrap().to_be_bytes();
            assert_eq!(framed[..PREFIX_BYTES], [&[0][..], &length].concat());
            assert_eq!(framed[PREFIX_BYTES..], golden);
        }
    }

    #[test]
    fn reads_the_golden_bytes() {
        for (message, type_name, receiver, golden) in GOLDEN {
            let delivery = grid::Delivery::decode(&hex(golden)[..]).unwrap();
            assert_eq!(delivery.data, hex(message));
            assert_eq!(delivery.type_name, type_name);
            assert_eq!(delivery.receiver, receiver);
            assert_eq!(delivery.ver, 0);
        }
    }

    #[test]
    fn large_data_is_not_copied() {
        let data = Bytes::from(vec![7; COPIED_BYTES + 1]);
        let framed = frame_delivery(&data, "t", "r");
        assert_eq!(framed.last_ref().first_ref().as_ptr(), data.as_ptr());
    }
}
