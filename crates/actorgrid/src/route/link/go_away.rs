//! The frame with which a side announces the end of a link.

use bytes::{Buf, BufMut, BytesMut};

use super::fields::{Fields, read_text};
use super::frame_kind::FrameKind;
use super::go_away_reason::GoAwayReason;
use super::link_error::LinkError;
use super::open_frame::{FrameTooLarge, OpenFrame};

/// The end of a link: requests above `last_sequence` were certainly not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GoAwayFrame<'a> {
    /// The greatest number of a request that this side has read; 0 from a client.
    pub(crate) last_sequence: u64,
    pub(crate) reason: GoAwayReason,
    /// At most 1 KiB, for logs.
    pub(crate) text: &'a str,
}

impl<'a> GoAwayFrame<'a> {
    /// Appends the frame.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`] if the text is too long; then nothing is appended.
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        let more = self.text.len();
        let frame = OpenFrame::begin(buffer, FrameKind::GoAway, 0, 0, more);
        buffer.put_u64_le(self.last_sequence);
        buffer.put_u16_le(self.reason.number());
        buffer.put_slice(self.text.as_bytes());
        frame.finish(buffer)
    }

    pub(super) fn read(
        mut fixed: &[u8],
        fields: Fields<'a>,
        body: &'a [u8],
    ) -> Result<Self, LinkError> {
        const KIND: FrameKind = FrameKind::GoAway;
        let short = |_| LinkError::FrameTooShort(KIND);
        fields.ignore(KIND)?;
        Ok(Self {
            last_sequence: fixed.try_get_u64_le().map_err(short)?,
            reason: GoAwayReason::of_number(fixed.try_get_u16_le().map_err(short)?),
            text: read_text(body, KIND.max_body_bytes(), KIND)?,
        })
    }
}
