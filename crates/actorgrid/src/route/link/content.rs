//! The message of a request or a reply: whole in its frame, or in chunks that follow.

use std::fmt;

use bytes::{Buf, BytesMut};

use super::fields::{Field, set_once};
use super::frame_kind::FrameKind;
use super::header::FrameHeader;
use super::limits::MAX_BODY_BYTES;
use super::link_error::LinkError;
use super::open_frame::OpenFrame;

/// The flag of a request or a reply whose message follows in chunks.
pub(super) const MORE: u8 = 0x01;

/// The tag of the name of the message's type.
pub(super) const TYPE_TAG: u8 = 0x82;

/// The tag of the length of a message that follows in chunks.
pub(super) const TOTAL_TAG: u8 = 0x83;

/// The message of a request or a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameContent<'a> {
    /// The encoded message.
    Whole(&'a [u8]),
    /// A message of more than 65 KiB, which follows in chunks.
    Chunked {
        /// The length of the encoded message.
        bytes: u32,
    },
}

impl<'a> FrameContent<'a> {
    /// Returns the length of the encoded message.
    pub(crate) fn message_bytes(self) -> usize {
        match self {
            Self::Whole(body) => body.len(),
            Self::Chunked { bytes } => usize::try_from(bytes).unwrap_or(usize::MAX),
        }
    }

    pub(super) const fn flag(self) -> u8 {
        match self {
            Self::Whole(_) => 0,
            Self::Chunked { .. } => MORE,
        }
    }

    /// Returns how many bytes of the message are in the frame itself.
    pub(super) const fn bytes_here(self) -> usize {
        match self {
            Self::Whole(body) => body.len(),
            Self::Chunked { .. } => 0,
        }
    }

    /// Appends the field with the length of the message, if the message follows in chunks.
    pub(super) fn put_field(self, frame: &mut OpenFrame, buffer: &mut BytesMut) {
        if let Self::Chunked { bytes } = self {
            frame.field(buffer, TOTAL_TAG, &[&bytes.to_le_bytes()]);
        }
    }

    /// Appends the body. Call this after all fields are appended.
    pub(super) fn put_body(self, buffer: &mut BytesMut) {
        if let Self::Whole(body) = self {
            buffer.extend_from_slice(body);
        }
    }
}

/// Without the message, which may be confidential.
impl fmt::Debug for FrameContent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(body) => write!(f, "Whole({} bytes)", body.len()),
            Self::Chunked { bytes } => write!(f, "Chunked({bytes} bytes)"),
        }
    }
}

/// The content of a frame that is being read.
#[derive(Debug, Default)]
pub(super) struct ContentReader<'a> {
    total: Option<&'a [u8]>,
}

impl<'a> ContentReader<'a> {
    pub(super) fn take_total(
        &mut self,
        field: Field<'a>,
        kind: FrameKind,
    ) -> Result<(), LinkError> {
        set_once(&mut self.total, field, kind)
    }

    /// Returns the content of a frame with this header and this body.
    pub(super) fn content(
        self,
        header: FrameHeader,
        body: &'a [u8],
        kind: FrameKind,
    ) -> Result<FrameContent<'a>, LinkError> {
        let wrong = LinkError::Content(kind);
        match (header.has(MORE), self.total) {
            (false, None) => Ok(FrameContent::Whole(body)),
            (true, Some(mut total)) if body.is_empty() => {
                let bytes = total.try_get_u32_le().map_err(|_| wrong)?;
                let is_large = usize::try_from(bytes).is_ok_and(|bytes| bytes > MAX_BODY_BYTES);
                match is_large && total.is_empty() {
                    true => Ok(FrameContent::Chunked { bytes }),
                    false => Err(wrong),
                }
            }
            _ => Err(wrong),
        }
    }
}
