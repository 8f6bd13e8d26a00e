//! A frame that is being written.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::fields::FIELD_HEAD_BYTES;
use super::frame_kind::FrameKind;
use super::header::{FrameHeader, HEADER_BYTES};
use super::limits::{MAX_BODY_BYTES, MAX_FIELDS_BYTES};

/// A frame cannot be sent: one of its parts is over its limit. Nothing of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameTooLarge {
    /// The optional fields, or a text among them, have this many bytes.
    Fields(usize),
    /// The body has this many bytes.
    Body(usize),
}

impl fmt::Display for FrameTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(bytes) => write!(f, "the fields of a frame would have {bytes} bytes"),
            Self::Body(bytes) => write!(f, "the body of a frame would have {bytes} bytes"),
        }
    }
}

impl std::error::Error for FrameTooLarge {}

/// A frame that is being written at the end of a send buffer: fixed fields, then optional fields,
/// then the body. A message can be encoded straight into its place.
///
/// Dropping it without [`finish`](Self::finish) or [`discard`](Self::discard) leaves an invalid
/// frame in the buffer. If encoding the message may panic, catch the panic and discard the frame.
#[derive(Debug)]
pub(crate) struct OpenFrame {
    kind: FrameKind,
    flags: u8,
    sequence: u64,
    /// Where it begins in the buffer.
    start: usize,
    fields_bytes: usize,
    /// The bytes of a text that is over its own limit.
    too_long: Option<usize>,
}

impl OpenFrame {
    /// Begins a frame. `more` is the expected number of bytes behind the fixed fields.
    pub(super) fn begin(
        buffer: &mut BytesMut,
        kind: FrameKind,
        flags: u8,
        sequence: u64,
        more: usize,
    ) -> Self {
        Self::begin_with(buffer, kind, flags, sequence, more, &[])
    }

    /// Begins a frame with its fixed fields.
    #[inline]
    pub(super) fn begin_with<const FIXED: usize>(
        buffer: &mut BytesMut,
        kind: FrameKind,
        flags: u8,
        sequence: u64,
        more: usize,
        fixed: &[u8; FIXED],
    ) -> Self {
        let start = buffer.len();
        // A frame above the limit is discarded, so it needs no room.
        let more = more.min(MAX_FIELDS_BYTES + MAX_BODY_BYTES);
        buffer.reserve(HEADER_BYTES + kind.fixed_bytes() + more);
        buffer.extend_from_slice(&[0; HEADER_BYTES]);
        buffer.extend_from_slice(fixed);
        Self {
            kind,
            flags,
            sequence,
            start,
            fields_bytes: 0,
            too_long: None,
        }
    }

    /// Appends an optional field, whose value is the concatenation of `parts`.
    pub(super) fn field(&mut self, buffer: &mut BytesMut, tag: u8, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        self.fields_bytes = self.fields_bytes.saturating_add(FIELD_HEAD_BYTES + length);
        // One that is too long fails when the frame is finished.
        if let Ok(length) = u16::try_from(length) {
            buffer.put_u8(tag);
            buffer.put_u16_le(length);
            for part in parts {
                buffer.put_slice(part);
            }
        }
    }

    /// Appends an optional field with a text of at most `limit` bytes.
    pub(super) fn text(&mut self, buffer: &mut BytesMut, tag: u8, text: &str, limit: usize) {
        if text.len() > limit {
            self.too_long = Some(text.len());
            return;
        }
        self.field(buffer, tag, &[text.as_bytes()]);
    }

    /// Completes the frame: what was appended behind the fields is its body.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`] if fields or body are over their limit; then the buffer is as it was
    /// before the frame.
    pub(crate) fn finish(self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        let all = Some(self.fields_bytes).filter(|bytes| *bytes > MAX_FIELDS_BYTES);
        if let Some(bytes) = self.too_long.or(all) {
            self.discard(buffer);
            return Err(FrameTooLarge::Fields(bytes));
        }
        let length = buffer.len().saturating_sub(self.start + HEADER_BYTES);
        let body = length.saturating_sub(self.kind.fixed_bytes() + self.fields_bytes);
        if body > self.kind.max_body_bytes() {
            self.discard(buffer);
            return Err(FrameTooLarge::Body(body));
        }
        let header = FrameHeader {
            // Both are below their limits, which fit.
            length: u32::try_from(length).unwrap_or(u32::MAX),
            kind: self.kind as u8,
            flags: self.flags,
            fields: u16::try_from(self.fields_bytes).unwrap_or(u16::MAX),
            sequence: self.sequence,
        };
        let place = buffer.get_mut(self.start..);
        if let Some(place) = place.and_then(|rest| rest.first_chunk_mut::<HEADER_BYTES>()) {
            header.write(place);
        }
        Ok(())
    }

    /// Removes the frame from the buffer again.
    pub(crate) fn discard(self, buffer: &mut BytesMut) {
        buffer.truncate(self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_too_large_leaves_nothing_behind() {
        let mut buffer = BytesMut::from(&b"before"[..]);
        let frame = OpenFrame::begin(&mut buffer, FrameKind::Chunk, 0, 1, 0);
        buffer.put_bytes(7, MAX_BODY_BYTES + 1);
        let error = frame.finish(&mut buffer);
        assert_eq!(error, Err(FrameTooLarge::Body(MAX_BODY_BYTES + 1)));
        let mut frame = OpenFrame::begin(&mut buffer, FrameKind::Chunk, 0, 1, 0);
        frame.field(&mut buffer, 1, &[&[0; 70_000]]);
        let error = frame.finish(&mut buffer);
        assert_eq!(error, Err(FrameTooLarge::Fields(70_003)));
        assert_eq!(buffer, &b"before"[..]);
    }
}
