//! Frames of the link as bytes, after `docs/link-protocol.md`: written one after the other, and
//! read from received bytes.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::hello::ClientHello;
use super::request::LinkRequest;

/// The bytes with which a client begins.
pub(crate) const LINK_GREETING: [u8; 8] = *b"\xacAGLINK\n";
/// The length of the head of each frame.
const HEAD_BYTES: usize = 16;

/// The kinds of frames.
pub(crate) mod link_kind {
    pub(crate) const HELLO: u8 = 0x81;
    pub(crate) const REQUEST: u8 = 0x82;
    pub(crate) const CHUNK: u8 = 0x83;
    pub(crate) const REPLY: u8 = 0x84;
    pub(crate) const ERROR: u8 = 0x85;
    pub(crate) const CREDIT: u8 = 0x86;
    pub(crate) const CANCEL: u8 = 0x87;
    pub(crate) const PING: u8 = 0x88;
    pub(crate) const PONG: u8 = 0x89;
    pub(crate) const GO_AWAY: u8 = 0x8a;
    /// One that version 1 does not define, and that is to be skipped.
    pub(crate) const UNKNOWN: u8 = 0x10;
}

/// The flags of frames.
pub(crate) mod link_flag {
    pub(crate) const MORE: u8 = 0x1;
    pub(crate) const LAST: u8 = 0x2;
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkFrameHead {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// The bytes of the optional fields.
    pub(crate) fields: usize,
    pub(crate) sequence: u64,
}

impl LinkFrameHead {
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Removes the first frame from the received bytes, if it is complete.
    pub(crate) fn read(bytes: &mut BytesMut) -> Option<(Self, Bytes)> {
        let mut head = bytes.get(..HEAD_BYTES)?;
        let length = head.get_u32_le() as usize;
        let read = Self {
            kind: head.get_u8(),
            flags: head.get_u8(),
            fields: head.get_u16_le().into(),
            sequence: head.get_u64_le(),
        };
        if bytes.len() < HEAD_BYTES + length {
            return None;
        }
        bytes.advance(HEAD_BYTES);
        Some((read, bytes.split_to(length).freeze()))
    }
}

/// Writes frames one after the other.
#[derive(Debug, Default)]
pub(crate) struct LinkFrames {
    bytes: BytesMut,
}

impl LinkFrames {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns what was written, and leaves nothing behind.
    pub(crate) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// Writes bytes that are not a frame.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.put_slice(bytes);
        self
    }

    /// Writes a frame without optional fields.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, sequence: u64, rest: &[u8]) -> &mut Self {
        self.lying_frame((rest.len(), 0), kind, flags, sequence, rest)
    }

    /// Writes a frame whose head states these lengths, of the frame and of its optional fields.
    pub(crate) fn lying_frame(
        &mut self,
        (length, fields): (usize, usize),
        kind: u8,
        flags: u8,
        sequence: u64,
        rest: &[u8],
    ) -> &mut Self {
        self.bytes.reserve(HEAD_BYTES + rest.len());
        self.bytes.put_u32_le(length as u32);
        self.bytes.put_u8(kind);
        self.bytes.put_u8(flags);
        self.bytes.put_u16_le(fields as u16);
        self.bytes.put_u64_le(sequence);
        self.raw(rest)
    }

    /// Writes what a client sends first.
    pub(crate) fn greet(&mut self, hello: &ClientHello) -> &mut Self {
        let (fields, rest) = hello.parts();
        let lengths = (rest.len(), fields);
        self.raw(&LINK_GREETING)
            .lying_frame(lengths, link_kind::HELLO, 0, 0, &rest)
    }

    /// Writes a request with this number.
    pub(crate) fn request(&mut self, sequence: u64, request: &LinkRequest<'_>) -> &mut Self {
        let (fields, rest) = request.parts();
        let flags = match request.total {
            Some(_) => link_flag::MORE,
            None => 0,
        };
        let lengths = (rest.len(), fields);
        self.lying_frame(lengths, link_kind::REQUEST, flags, sequence, &rest)
    }

    pub(crate) fn chunk(&mut self, sequence: u64, bytes: &[u8], flags: u8) -> &mut Self {
        self.frame(link_kind::CHUNK, flags, sequence, bytes)
    }

    pub(crate) fn cancel(&mut self, sequence: u64) -> &mut Self {
        self.frame(link_kind::CANCEL, 0, sequence, &[])
    }

    /// Returns the credit of replies.
    pub(crate) fn credit(&mut self, bytes: u64) -> &mut Self {
        let mut rest = [0; 12];
        (&mut rest[4..]).put_u64_le(bytes);
        self.frame(link_kind::CREDIT, 0, 0, &rest)
    }

    pub(crate) fn ping(&mut self) -> &mut Self {
        self.frame(link_kind::PING, 0, 0, &[7; 8])
    }

    pub(crate) fn pong(&mut self, bytes: &[u8]) -> &mut Self {
        self.frame(link_kind::PONG, 0, 0, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::LinkText;
    use super::*;

    /// The bytes of a line of the example in the document.
    fn bytes(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        let pairs = digits.as_bytes().chunks(2);
        let pair = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        pairs.map(pair).collect()
    }

    #[test]
    fn a_request_is_that_of_the_documents_example() {
        let mut token = [0; 16];
        (token[0], token[8]) = (0x2a, 0x11);
        let mut frames = LinkFrames::default();
        frames.request(
            1,
            &LinkRequest {
                receiver: LinkText::Define(1, "cart-7"),
                message_type: LinkText::Define(1, "shop/AddItem"),
                ..LinkRequest::new(token, "", b"\x0a\x03tea")
            },
        );
        let written = frames.take();
        let head = "49000000 82 00 1800 0100000000000000";
        assert_eq!(written[..16], bytes(head));
        let rest = "2a00000000000000 1100000000000000 01000080 01000080
            81 0600 636172742d37 82 0c00 73686f702f4164644974656d 0a03746561";
        assert_eq!(written[16 + 20..], bytes(rest));
    }

    #[test]
    fn a_hello_has_the_lengths_of_the_documents_example() {
        let mut frames = LinkFrames::default();
        frames.greet(&ClientHello::new([9; 16], 3));
        let written = frames.take();
        assert_eq!(written[..8], bytes("ac41474c494e4b0a"));
        // 88 bytes, and the namespace with its head.
        let length = 88 + 3 + crate::peer::NAMESPACE.len();
        assert_eq!(usize::from(written[8]), length);
        assert_eq!(written.len(), 8 + HEAD_BYTES + length);
    }

    #[test]
    fn a_frame_is_read_once_it_is_there_as_a_whole() {
        let mut frames = LinkFrames::default();
        frames.chunk(7, b"some", link_flag::LAST).credit(5).ping();
        let mut come = BytesMut::new();
        let mut read = Vec::new();
        for byte in &frames.take() {
            come.put_u8(*byte);
            read.extend(LinkFrameHead::read(&mut come));
        }
        let kinds: Vec<_> = read
            .iter()
            .map(|(head, rest)| (head.kind, rest.len()))
            .collect();
        assert_eq!(
            kinds,
            [
                (link_kind::CHUNK, 4),
                (link_kind::CREDIT, 12),
                (link_kind::PING, 8)
            ]
        );
        assert!(read[0].0.has(link_flag::LAST) && read[0].0.sequence == 7);
    }
}
