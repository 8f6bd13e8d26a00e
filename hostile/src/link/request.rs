//! Requests of the link.

use actorgrid::{EchoMsg, Message as _};
use bytes::{BufMut as _, BytesMut};

use super::field::put_field;

/// The bytes of the fixed fields.
const FIXED_BYTES: usize = 44;
const RECEIVER_TAG: u8 = 0x81;
const TYPE_TAG: u8 = 0x82;
const TOTAL_TAG: u8 = 0x83;
const HEADER_TAG: u8 = 0x04;
/// Of a reference that defines an id.
const DEFINES: u32 = 1 << 31;

/// A text that may be remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LinkText<'a> {
    Plain(&'a str),
    Define(u32, &'a str),
    Known(u32),
}

/// A request, without its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkRequest<'a> {
    /// The time that it states.
    pub(crate) millis: u32,
    pub(crate) token: [u8; 16],
    pub(crate) receiver: LinkText<'a>,
    pub(crate) message_type: LinkText<'a>,
    /// The length of a message that follows in chunks.
    pub(crate) total: Option<u32>,
    /// The value of its one header, if it has one.
    pub(crate) header: &'a str,
    pub(crate) body: &'a [u8],
}

impl<'a> LinkRequest<'a> {
    /// A request to the mailbox that has this token.
    pub(crate) fn new(token: [u8; 16], receiver: &'a str, body: &'a [u8]) -> Self {
        Self {
            millis: 10_000,
            token,
            receiver: LinkText::Plain(receiver),
            message_type: LinkText::Plain(EchoMsg::WIRE_NAME),
            total: None,
            header: "",
            body,
        }
    }

    /// Returns the length of the optional fields, and all that is behind the head.
    pub(super) fn parts(&self) -> (usize, Vec<u8>) {
        let mut rest = Vec::with_capacity(FIXED_BYTES + 128 + self.body.len());
        rest.put_u32_le(self.millis);
        rest.put_u128(fastrand::u128(..));
        rest.put_slice(&self.token);
        rest.put_u32_le(self.receiver.reference());
        rest.put_u32_le(self.message_type.reference());
        self.receiver.put_text(&mut rest, RECEIVER_TAG);
        self.message_type.put_text(&mut rest, TYPE_TAG);
        if let Some(total) = self.total {
            put_field(&mut rest, TOTAL_TAG, &total.to_le_bytes());
        }
        if !self.header.is_empty() {
            let header = [&[1, 0, b'x'], self.header.as_bytes()].concat();
            put_field(&mut rest, HEADER_TAG, &header);
        }
        let fields = rest.len() - FIXED_BYTES;
        rest.put_slice(self.body);
        (fields, rest)
    }

    /// Returns the length behind the head, which is the credit that it uses up.
    pub(crate) fn length(&self) -> u64 {
        let (_, rest) = self.parts();
        rest.len() as u64
    }
}

impl LinkText<'_> {
    fn reference(self) -> u32 {
        match self {
            Self::Plain(_) => 0,
            Self::Define(id, _) => DEFINES + id,
            Self::Known(id) => id,
        }
    }

    fn put_text(self, rest: &mut Vec<u8>, tag: u8) {
        match self {
            Self::Plain(text) | Self::Define(_, text) => put_field(rest, tag, text.as_bytes()),
            Self::Known(_) => {}
        }
    }
}

/// Returns the message that a mailbox echoes.
pub(crate) fn echo_body(text: &str) -> Vec<u8> {
    let mut body = BytesMut::new();
    EchoMsg::new(text).encode(&mut body);
    body.to_vec()
}
