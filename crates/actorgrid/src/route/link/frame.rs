//! A frame of any kind.

use bytes::BytesMut;

use super::chunk::ChunkFrame;
use super::control::{CancelFrame, CreditFrame, PingFrame, PongFrame};
use super::error::ErrorFrame;
use super::fields::Fields;
use super::frame_kind::FrameKind;
use super::go_away::GoAwayFrame;
use super::header::FrameHeader;
use super::hello::HelloFrame;
use super::link_error::LinkError;
use super::open_frame::FrameTooLarge;
use super::reply::ReplyFrame;
use super::request::{ReadRequest, RejectedRequest, RequestFrame};

/// A frame as it was read. It borrows from the buffer that it was read from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum LinkFrame<'a> {
    Hello(HelloFrame<'a>),
    Request(RequestFrame<'a>),
    /// A request that must not be executed.
    Rejected(RejectedRequest<'a>),
    Chunk(ChunkFrame<'a>),
    Reply(ReplyFrame<'a>),
    Error(ErrorFrame<'a>),
    Credit(CreditFrame),
    Cancel(CancelFrame),
    Ping(PingFrame),
    Pong(PongFrame),
    GoAway(GoAwayFrame<'a>),
}

impl<'a> LinkFrame<'a> {
    /// Reads a frame whose header was checked, from all bytes behind the header.
    pub(super) fn read(
        kind: FrameKind,
        header: FrameHeader,
        payload: &'a [u8],
    ) -> Result<Self, LinkError> {
        let split = payload.split_at_checked(kind.fixed_bytes());
        let (fixed, rest) = split.ok_or(LinkError::FrameTooShort(kind))?;
        let split = rest.split_at_checked(header.fields_bytes());
        let (fields, body) = split.ok_or(LinkError::FrameTooShort(kind))?;
        let fields = Fields::new(fields, kind)?;
        Ok(match kind {
            FrameKind::Hello => Self::Hello(HelloFrame::read(fixed, fields)?),
            FrameKind::Request => match ReadRequest::read(header, fixed, fields, body)? {
                ReadRequest::Whole(request) => Self::Request(request),
                ReadRequest::Rejected(request) => Self::Rejected(request),
            },
            FrameKind::Chunk => Self::Chunk(ChunkFrame::read(header, fields, body)?),
            FrameKind::Reply => Self::Reply(ReplyFrame::read(header, fixed, fields, body)?),
            FrameKind::Error => Self::Error(ErrorFrame::read(header, fixed, fields, body)?),
            FrameKind::Credit => Self::Credit(CreditFrame::read(header, fixed, fields)?),
            FrameKind::Cancel => Self::Cancel(CancelFrame::read(header, fields)?),
            FrameKind::Ping => Self::Ping(PingFrame::read(fixed, fields)?),
            FrameKind::Pong => Self::Pong(PongFrame::read(fixed, fields)?),
            FrameKind::GoAway => Self::GoAway(GoAwayFrame::read(fixed, fields, body)?),
        })
    }

    /// Appends the frame. Appends nothing for a rejected request, which is never sent.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`] if a part is over its limit; then nothing is appended.
    #[cfg_attr(
        not(any(test, fuzzing)),
        expect(dead_code, reason = "the library encodes what it has in parts")
    )]
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        match self {
            Self::Hello(frame) => frame.encode(buffer),
            Self::Request(frame) => frame.encode(buffer),
            Self::Rejected(_) => Ok(()),
            Self::Chunk(frame) => frame.encode(buffer),
            Self::Reply(frame) => frame.encode(buffer),
            Self::Error(frame) => frame.encode(buffer),
            Self::Credit(frame) => frame.encode(buffer),
            Self::Cancel(frame) => frame.encode(buffer),
            Self::Ping(frame) => frame.encode(buffer),
            Self::Pong(frame) => frame.encode(buffer),
            Self::GoAway(frame) => frame.encode(buffer),
        }
    }
}
