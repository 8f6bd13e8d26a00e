//! A request, and the flaws for which one is rejected.

use std::fmt;

use bytes::{Buf, BytesMut};

use super::content::{ContentReader, FrameContent, TOTAL_TAG, TYPE_TAG};
use super::fields::{Fields, set_once};
use super::frame_kind::FrameKind;
use super::header::{FrameHeader, HEADER_BYTES};
use super::header_fields::{HEADER_TAG, HeaderCheck, HeaderFields};
use super::limits::{MAX_BODY_BYTES, MAX_RECEIVER_BYTES, MAX_TYPE_BYTES};
use super::link_error::LinkError;
use super::open_frame::{FrameTooLarge, OpenFrame};
use super::reference::TextReference;
use super::token_bytes::{TOKEN_BYTES, read_token, token_bytes};
use crate::error::{RequestError, RequestErrorKind};
use crate::route::meta::RequestId;
use crate::token::Token;

const KIND: FrameKind = FrameKind::Request;
const FIXED_BYTES: usize = KIND.fixed_bytes();
const PLAIN_HEAD_BYTES: usize = HEADER_BYTES + FIXED_BYTES;
const FROM_HANDLER: u8 = 0x04;
const RECEIVER_TAG: u8 = 0x81;
/// Usually more than the names and the length take.
const EXPECTED_FIELDS_BYTES: usize = 128;

/// A request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RequestFrame<'a> {
    /// Greater than that of every request before it on this link.
    pub(crate) sequence: u64,
    /// Whether it is sent from a handler, and may use the reserved part of the credit.
    pub(crate) is_from_handler: bool,
    /// The time in which the client wants an answer, rounded up; 0 if it states none.
    pub(crate) time_left_ms: u32,
    pub(crate) id: RequestId,
    /// The registration that the client expects to reach.
    pub(crate) token: Token,
    /// The name of the mailbox, at most 1 KiB.
    pub(crate) receiver: TextReference<'a>,
    /// The wire name of the message, at most 4 KiB.
    pub(crate) message_type: TextReference<'a>,
    pub(crate) headers: HeaderFields<'a>,
    pub(crate) content: FrameContent<'a>,
}

impl<'a> RequestFrame<'a> {
    /// Appends the frame.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`] if a name or the body is over its limit; then nothing is appended, and an
    /// id that it would define is not remembered by the receiver.
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        let frame = self.begin(buffer, self.content.bytes_here());
        self.content.put_body(buffer);
        frame.finish(buffer)
    }

    /// Begins the frame of a request whose message is appended next, without a copy. `body` is the
    /// length that is expected. The content is not used, except for its announced length.
    pub(crate) fn begin(&self, buffer: &mut BytesMut, body: usize) -> OpenFrame {
        let handler = if self.is_from_handler {
            FROM_HANDLER
        } else {
            0
        };
        let flags = self.content.flag() | handler;
        let more = EXPECTED_FIELDS_BYTES + body;
        let mut frame =
            OpenFrame::begin_with(buffer, KIND, flags, self.sequence, more, &self.fixed());
        if let Some(name) = self.receiver.text() {
            frame.text(buffer, RECEIVER_TAG, name, MAX_RECEIVER_BYTES);
        }
        if let Some(name) = self.message_type.text() {
            frame.text(buffer, TYPE_TAG, name, MAX_TYPE_BYTES);
        }
        self.content.put_field(&mut frame, buffer);
        self.headers.put(&mut frame, buffer);
        frame
    }
}

impl RequestFrame<'_> {
    /// The frame up to its body, which has this length, if it has no optional fields, as most have
    /// none.
    #[inline]
    pub(crate) fn plain_head(&self, body: usize) -> Option<[u8; PLAIN_HEAD_BYTES]> {
        let is_plain = self.receiver.text().is_none()
            && self.message_type.text().is_none()
            && self.content.flag() == 0
            && self.headers.is_empty()
            && body <= MAX_BODY_BYTES;
        if !is_plain {
            return None;
        }
        let handler = if self.is_from_handler {
            FROM_HANDLER
        } else {
            0
        };
        let header = FrameHeader {
            length: u32::try_from(FIXED_BYTES + body).unwrap_or(u32::MAX),
            kind: KIND as u8,
            flags: handler,
            fields: 0,
            sequence: self.sequence,
        };
        let mut head = [0; PLAIN_HEAD_BYTES];
        let (place, fixed) = head.split_first_chunk_mut()?;
        header.write(place);
        fixed.copy_from_slice(&self.fixed());
        Some(head)
    }

    /// The fixed fields.
    #[inline]
    fn fixed(&self) -> [u8; FIXED_BYTES] {
        let mut fixed = [0; FIXED_BYTES];
        fixed[0..4].copy_from_slice(&self.time_left_ms.to_le_bytes());
        fixed[4..20].copy_from_slice(&self.id.0.to_be_bytes());
        fixed[20..36].copy_from_slice(&token_bytes(self.token));
        fixed[36..40].copy_from_slice(&self.receiver.number().to_le_bytes());
        fixed[40..44].copy_from_slice(&self.message_type.number().to_le_bytes());
        fixed
    }
}

/// A request that must not be executed because its frame has a [flaw](Self::flaw). It is answered
/// with an error. It uses credit like any other request, and its definitions are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RejectedRequest<'a> {
    pub(crate) sequence: u64,
    pub(crate) is_from_handler: bool,
    pub(crate) receiver: TextReference<'a>,
    pub(crate) message_type: TextReference<'a>,
    pub(crate) content: FrameContent<'a>,
    pub(crate) flaw: RequestFlaw,
}

/// A reason to reject a request without closing the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestFlaw {
    /// It states no token: all its 16 bytes are 0.
    NoToken,
    /// No registration can have its token.
    Token,
    /// It has more headers, or larger ones, than it may have, or one that is not valid.
    Headers,
    /// It has a critical field that is not known.
    Field(u8),
}

impl RequestFlaw {
    /// Returns the error to answer with: the request was not executed.
    pub(crate) fn to_error(self) -> RequestError {
        RequestError::refused(RequestErrorKind::InvalidHeaders, self.to_string())
    }
}

impl fmt::Display for RequestFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("the request states no token"),
            Self::Token => f.write_str("the token of the request is malformed"),
            Self::Headers => f.write_str("the headers of the request are not valid"),
            Self::Field(tag) => write!(f, "the critical field {tag:#04x} is not known"),
        }
    }
}

/// A request that was read: one that can be executed, or one to reject.
#[derive(Debug)]
pub(super) enum ReadRequest<'a> {
    Whole(RequestFrame<'a>),
    Rejected(RejectedRequest<'a>),
}

/// The optional fields of a request.
#[derive(Debug, Default)]
struct RequestFields<'a> {
    receiver: Option<&'a [u8]>,
    message_type: Option<&'a [u8]>,
    content: ContentReader<'a>,
    headers: HeaderCheck,
    flaw: Option<RequestFlaw>,
}

impl<'a> RequestFields<'a> {
    fn read(fields: Fields<'a>) -> Result<Self, LinkError> {
        let mut read = Self::default();
        for field in fields {
            let flaw = match field.tag {
                RECEIVER_TAG => {
                    set_once(&mut read.receiver, field, KIND)?;
                    None
                }
                TYPE_TAG => {
                    set_once(&mut read.message_type, field, KIND)?;
                    None
                }
                TOTAL_TAG => {
                    read.content.take_total(field, KIND)?;
                    None
                }
                HEADER_TAG => (!read.headers.allows(field)).then_some(RequestFlaw::Headers),
                tag => field.is_critical().then_some(RequestFlaw::Field(tag)),
            };
            read.flaw = read.flaw.or(flaw);
        }
        Ok(read)
    }
}

impl<'a> ReadRequest<'a> {
    pub(super) fn read(
        header: FrameHeader,
        mut fixed: &'a [u8],
        fields: Fields<'a>,
        body: &'a [u8],
    ) -> Result<Self, LinkError> {
        let short = |_| LinkError::FrameTooShort(KIND);
        let time_left_ms = fixed.try_get_u32_le().map_err(short)?;
        let id = RequestId(fixed.try_get_u128().map_err(short)?);
        let split = fixed.split_first_chunk::<TOKEN_BYTES>();
        let (token, mut fixed) = split.ok_or(LinkError::FrameTooShort(KIND))?;
        let receiver = fixed.try_get_u32_le().map_err(short)?;
        let message_type = fixed.try_get_u32_le().map_err(short)?;

        let read = RequestFields::read(fields)?;
        let receiver = TextReference::read(receiver, read.receiver, MAX_RECEIVER_BYTES, KIND)?;
        let message_type =
            TextReference::read(message_type, read.message_type, MAX_TYPE_BYTES, KIND)?;
        let content = read.content.content(header, body, KIND)?;
        let sequence = header.sequence;
        let is_from_handler = header.has(FROM_HANDLER);
        let rejected = |flaw| {
            Self::Rejected(RejectedRequest {
                sequence,
                is_from_handler,
                receiver,
                message_type,
                content,
                flaw,
            })
        };
        Ok(match (read_token(token), read.flaw) {
            (_, Some(flaw)) => rejected(flaw),
            (None, None) if *token == [0; TOKEN_BYTES] => rejected(RequestFlaw::NoToken),
            (None, None) => rejected(RequestFlaw::Token),
            (Some(token), None) => Self::Whole(RequestFrame {
                sequence,
                is_from_handler,
                time_left_ms,
                id,
                token,
                receiver,
                message_type,
                headers: HeaderFields::received(fields),
                content,
            }),
        })
    }
}
