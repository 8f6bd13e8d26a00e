//! The reply to a request.

use bytes::{Buf, BufMut, BytesMut};

use super::content::{ContentReader, FrameContent, TOTAL_TAG, TYPE_TAG};
use super::fields::{Fields, reject_critical, set_once};
use super::frame_kind::FrameKind;
use super::header::FrameHeader;
use super::limits::MAX_TYPE_BYTES;
use super::link_error::LinkError;
use super::open_frame::{FrameTooLarge, OpenFrame};
use super::reference::TextReference;

const KIND: FrameKind = FrameKind::Reply;
/// Usually more than the type and the length take.
const EXPECTED_FIELDS_BYTES: usize = 64;

/// The reply to a request. It answers the request, or, if its message is in chunks, the last chunk
/// does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyFrame<'a> {
    /// The number of the request.
    pub(crate) sequence: u64,
    /// The wire name of the message, at most 4 KiB.
    pub(crate) message_type: TextReference<'a>,
    pub(crate) content: FrameContent<'a>,
}

impl<'a> ReplyFrame<'a> {
    /// Appends the frame.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`] if the type's name or the body is over its limit; then nothing is
    /// appended, and an id that it would define is not remembered by the receiver.
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        let frame = self.begin(buffer, self.content.bytes_here());
        self.content.put_body(buffer);
        frame.finish(buffer)
    }

    /// Begins the frame of a reply whose message is appended next, without a copy. `body` is the
    /// length that is expected. The content is not used, except for its announced length.
    pub(crate) fn begin(&self, buffer: &mut BytesMut, body: usize) -> OpenFrame {
        let more = EXPECTED_FIELDS_BYTES + body;
        let mut frame = OpenFrame::begin(buffer, KIND, self.content.flag(), self.sequence, more);
        buffer.put_u32_le(self.message_type.number());
        if let Some(name) = self.message_type.text() {
            frame.text(buffer, TYPE_TAG, name, MAX_TYPE_BYTES);
        }
        self.content.put_field(&mut frame, buffer);
        frame
    }

    pub(super) fn read(
        header: FrameHeader,
        mut fixed: &'a [u8],
        fields: Fields<'a>,
        body: &'a [u8],
    ) -> Result<Self, LinkError> {
        let number = fixed.try_get_u32_le();
        let number = number.map_err(|_| LinkError::FrameTooShort(KIND))?;
        let mut message_type = None;
        let mut content = ContentReader::default();
        for field in fields {
            match field.tag {
                TYPE_TAG => set_once(&mut message_type, field, KIND)?,
                TOTAL_TAG => content.take_total(field, KIND)?,
                _ => reject_critical(field, KIND)?,
            }
        }
        Ok(Self {
            sequence: header.sequence,
            message_type: TextReference::read(number, message_type, MAX_TYPE_BYTES, KIND)?,
            content: content.content(header, body, KIND)?,
        })
    }
}
