//! A part of a message of more than 65 KiB.

use std::fmt;

use bytes::BytesMut;

use super::fields::Fields;
use super::frame_kind::FrameKind;
use super::header::FrameHeader;
use super::link_error::LinkError;
use super::open_frame::{FrameTooLarge, OpenFrame};

const LAST: u8 = 0x02;

/// A part of the message of a request or a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkFrame<'a> {
    /// The number of the request.
    pub(crate) sequence: u64,
    /// Whether it is the last part of the message.
    pub(crate) is_last: bool,
    /// 1 to 66,560 bytes.
    pub(crate) bytes: &'a [u8],
}

impl<'a> ChunkFrame<'a> {
    /// Appends the frame.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`] if it has more than 65 KiB; then nothing is appended.
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        let flags = if self.is_last { LAST } else { 0 };
        let more = self.bytes.len();
        let frame = OpenFrame::begin(buffer, FrameKind::Chunk, flags, self.sequence, more);
        buffer.extend_from_slice(self.bytes);
        frame.finish(buffer)
    }

    pub(super) fn read(
        header: FrameHeader,
        fields: Fields<'a>,
        body: &'a [u8],
    ) -> Result<Self, LinkError> {
        fields.ignore(FrameKind::Chunk)?;
        if body.is_empty() {
            return Err(LinkError::Content(FrameKind::Chunk));
        }
        Ok(Self {
            sequence: header.sequence,
            is_last: header.has(LAST),
            bytes: body,
        })
    }
}

/// Without the message, which may be confidential.
impl fmt::Debug for ChunkFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkFrame")
            .field("sequence", &self.sequence)
            .field("is_last", &self.is_last)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
