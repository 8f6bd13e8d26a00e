//! The error that answers a request.

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};

use super::fields::{Fields, read_text, reject_critical, set_once};
use super::frame_kind::FrameKind;
use super::header::FrameHeader;
use super::limits::{MAX_BODY_BYTES, MAX_DETAIL_BYTES, MAX_RECEIVER_BYTES};
use super::link_error::LinkError;
use super::open_frame::{FrameTooLarge, OpenFrame};
use super::token_bytes::{read_token, token_bytes};
use crate::code::Code;
use crate::error::{Executed, RequestError, RequestErrorKind as Kind};
use crate::message::Payload;
use crate::name::Name;
use crate::token::Token;

const KIND: FrameKind = FrameKind::Error;
const HOLDER_TAG: u8 = 0x01;
const TOKEN_TAG: u8 = 0x02;
const DETAIL_TYPE_TAG: u8 = 0x03;
const DETAIL_TAG: u8 = 0x04;
/// As much of a text as is sent to a client that takes no errors.
const SHORT_TEXT_BYTES: usize = 256;

/// The error that answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorFrame<'a> {
    /// The number of the request.
    pub(crate) sequence: u64,
    pub(crate) kind: Kind,
    pub(crate) executed: Executed,
    /// The code that the receiver gave its own error.
    pub(crate) code: Option<Code>,
    /// At most 65 KiB.
    pub(crate) text: &'a str,
    /// The peer that holds the name.
    pub(crate) holder: Option<&'a str>,
    /// The token of the registration that holds the name.
    pub(crate) token: Option<Token>,
    pub(crate) detail: Option<ErrorDetailBytes<'a>>,
}

/// The message that a receiver attached to its error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorDetailBytes<'a> {
    pub(crate) wire_name: &'a str,
    pub(crate) bytes: &'a [u8],
}

/// Without the message, which may be confidential.
impl fmt::Debug for ErrorDetailBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ErrorDetailBytes({}, {} bytes)",
            self.wire_name,
            self.bytes.len()
        )
    }
}

impl<'a> ErrorFrame<'a> {
    /// Creates the frame of an error. A detail that is over the limit is left out.
    pub(crate) fn of(sequence: u64, error: &'a RequestError) -> Self {
        let detail = error.payload().map(|payload| ErrorDetailBytes {
            wire_name: payload.wire_name(),
            bytes: payload.bytes(),
        });
        Self {
            sequence,
            kind: error.kind(),
            executed: error.executed(),
            code: error.code(),
            text: error.text(),
            holder: error.holder().map(Name::as_str),
            token: error.token(),
            detail: detail.filter(|detail| detail.length() <= MAX_DETAIL_BYTES),
        }
    }

    /// The same with as much as a caller must know: the beginning of the text, and no detail.
    pub(crate) fn shortened(mut self) -> Self {
        let mut end = self.text.len().min(SHORT_TEXT_BYTES);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        self.text = self.text.get(..end).unwrap_or_default();
        self.detail = None;
        self
    }

    /// Returns the error for the caller.
    pub(crate) fn to_error(self) -> RequestError {
        let mut error = RequestError::new(self.kind, self.executed, self.text);
        if let Some(holder) = self.holder.and_then(|holder| Name::new(holder).ok()) {
            error = error.held_by(holder, self.token);
        }
        if let Some(code) = self.code {
            error = error.with_code(code);
        }
        if let Some(detail) = self.detail {
            let name = detail.wire_name.to_owned();
            error = error.with_detail(Payload::new(name, detail.bytes.to_vec()));
        }
        error
    }

    /// Appends the frame.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`] if a part is over its limit, which no part [of an error](Self::of) is;
    /// then nothing is appended.
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        let more = self.text.len();
        let mut frame = OpenFrame::begin(buffer, KIND, 0, self.sequence, more);
        buffer.put_u16_le(number_of_kind(self.kind));
        buffer.put_u8(number_of_executed(self.executed));
        buffer.put_u8(number_of_code(self.code));
        if let Some(holder) = self.holder {
            frame.text(buffer, HOLDER_TAG, holder, MAX_RECEIVER_BYTES);
        }
        if let Some(token) = self.token {
            frame.field(buffer, TOKEN_TAG, &[&token_bytes(token)]);
        }
        if let Some(detail) = self.detail {
            frame.text(buffer, DETAIL_TYPE_TAG, detail.wire_name, MAX_DETAIL_BYTES);
            frame.field(buffer, DETAIL_TAG, &[detail.bytes]);
        }
        buffer.put_slice(self.text.as_bytes());
        frame.finish(buffer)
    }

    pub(super) fn read(
        header: FrameHeader,
        mut fixed: &'a [u8],
        fields: Fields<'a>,
        body: &'a [u8],
    ) -> Result<Self, LinkError> {
        let short = |_| LinkError::FrameTooShort(KIND);
        let kind = kind_of_number(fixed.try_get_u16_le().map_err(short)?);
        let executed = executed_of_number(fixed.try_get_u8().map_err(short)?);
        let code = Code::of_number(fixed.try_get_u8().map_err(short)?.into());
        let (mut holder, mut token, mut detail_type, mut detail) = (None, None, None, None);
        for field in fields {
            match field.tag {
                HOLDER_TAG => set_once(&mut holder, field, KIND)?,
                TOKEN_TAG => set_once(&mut token, field, KIND)?,
                DETAIL_TYPE_TAG => set_once(&mut detail_type, field, KIND)?,
                DETAIL_TAG => set_once(&mut detail, field, KIND)?,
                _ => reject_critical(field, KIND)?,
            }
        }
        let holder = match holder {
            Some(name) => Some(read_text(name, MAX_RECEIVER_BYTES, KIND)?),
            None => None,
        };
        let detail = match (detail_type, detail) {
            (Some(name), Some(bytes)) => {
                let limit = MAX_DETAIL_BYTES.checked_sub(bytes.len());
                let limit = limit.ok_or(LinkError::Fields(KIND))?;
                let wire_name = read_text(name, limit, KIND)?;
                Some(ErrorDetailBytes { wire_name, bytes })
            }
            (None, None) => None,
            _ => return Err(LinkError::Fields(KIND)),
        };
        Ok(Self {
            sequence: header.sequence,
            kind,
            executed,
            code,
            text: read_text(body, MAX_BODY_BYTES, KIND)?,
            holder,
            // A malformed token is ignored: the error is useful without it.
            token: token.and_then(read_token),
            detail,
        })
    }
}

impl ErrorDetailBytes<'_> {
    const fn length(self) -> usize {
        self.wire_name.len() + self.bytes.len()
    }
}

const fn number_of_executed(executed: Executed) -> u8 {
    match executed {
        Executed::No => 0,
        Executed::Maybe => 1,
        Executed::Yes => 2,
    }
}

/// Reads a number; one that is not known means that the request may have been executed.
const fn executed_of_number(number: u8) -> Executed {
    match number {
        0 => Executed::No,
        2 => Executed::Yes,
        _ => Executed::Maybe,
    }
}

/// Returns the number of the code, or 0 for none.
fn number_of_code(code: Option<Code>) -> u8 {
    code.map_or(0, |code| u8::try_from(code.number()).unwrap_or_default())
}

/// Returns the number of a kind. Numbers that were published never change.
const fn number_of_kind(kind: Kind) -> u16 {
    match kind {
        Kind::Unknown => 0,
        Kind::InvalidName => 1,
        Kind::UnknownName => 2,
        Kind::NotHeld => 3,
        Kind::MailboxClosed => 4,
        Kind::Busy => 5,
        Kind::UnknownMessage => 6,
        Kind::InvalidMessage => 7,
        Kind::MessageTooLarge => 8,
        Kind::ReplyTooLarge => 9,
        Kind::UnexpectedReply => 10,
        Kind::InvalidHeaders => 11,
        Kind::DeadlineExceeded => 12,
        Kind::NoReply => 13,
        Kind::Application => 14,
        Kind::AlreadyRunning => 15,
        Kind::UnknownActorType => 16,
        Kind::StartFailed => 17,
        Kind::NotReleased => 18,
        Kind::StopFailed => 19,
        Kind::Unreachable => 20,
        Kind::ConnectionLost => 21,
        Kind::Registry => 22,
        Kind::ClientClosed => 23,
    }
}

const fn kind_of_number(number: u16) -> Kind {
    match number {
        1 => Kind::InvalidName,
        2 => Kind::UnknownName,
        3 => Kind::NotHeld,
        4 => Kind::MailboxClosed,
        5 => Kind::Busy,
        6 => Kind::UnknownMessage,
        7 => Kind::InvalidMessage,
        8 => Kind::MessageTooLarge,
        9 => Kind::ReplyTooLarge,
        10 => Kind::UnexpectedReply,
        11 => Kind::InvalidHeaders,
        12 => Kind::DeadlineExceeded,
        13 => Kind::NoReply,
        14 => Kind::Application,
        15 => Kind::AlreadyRunning,
        16 => Kind::UnknownActorType,
        17 => Kind::StartFailed,
        18 => Kind::NotReleased,
        19 => Kind::StopFailed,
        20 => Kind::Unreachable,
        21 => Kind::ConnectionLost,
        22 => Kind::Registry,
        23 => Kind::ClientClosed,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_number_of_its_own() {
        for kind in Kind::ALL {
            assert_eq!(kind_of_number(number_of_kind(*kind)), *kind);
        }
        assert_eq!(kind_of_number(u16::MAX), Kind::Unknown);
        for executed in [Executed::No, Executed::Maybe, Executed::Yes] {
            assert_eq!(executed_of_number(number_of_executed(executed)), executed);
        }
        assert_eq!(executed_of_number(3), Executed::Maybe);
    }
}
