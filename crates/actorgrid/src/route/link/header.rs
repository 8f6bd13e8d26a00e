//! The header of a frame.

use super::frame_kind::{CRITICAL_KIND, FrameKind};
use super::limits::{MAX_FIELDS_BYTES, MAX_LENGTH};
use super::link_error::LinkError;

/// The bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 16;

/// The header of a frame, not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The bytes behind the header.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// The bytes of the optional fields.
    pub(super) fields: u16,
    pub(super) sequence: u64,
}

impl FrameHeader {
    /// Reads the header at the beginning of `bytes`. Returns `None` while it is not complete.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|bytes| Self::of_bytes(*bytes))
    }

    #[inline]
    pub(super) fn of_bytes(bytes: [u8; HEADER_BYTES]) -> Self {
        let [l0, l1, l2, l3, kind, flags, f0, f1, sequence @ ..] = bytes;
        Self {
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            kind,
            flags,
            fields: u16::from_le_bytes([f0, f1]),
            sequence: u64::from_le_bytes(sequence),
        }
    }

    #[inline]
    pub(super) fn write(self, place: &mut [u8; HEADER_BYTES]) {
        place[0..4].copy_from_slice(&self.length.to_le_bytes());
        place[4..6].copy_from_slice(&[self.kind, self.flags]);
        place[6..8].copy_from_slice(&self.fields.to_le_bytes());
        place[8..16].copy_from_slice(&self.sequence.to_le_bytes());
    }

    /// Checks everything that the header alone shows, so that a frame is refused before the rest of
    /// it arrives. Returns `None` for a frame to skip.
    pub(super) fn check(self) -> Result<Option<FrameKind>, LinkError> {
        let length = self.length_bytes();
        let fields = self.fields_bytes();
        if length > MAX_LENGTH || fields > MAX_FIELDS_BYTES {
            return Err(LinkError::FrameTooLarge { length, fields });
        }
        let Some(kind) = FrameKind::of_number(self.kind) else {
            return match self.kind & CRITICAL_KIND == 0 && fields <= length {
                true => Ok(None),
                false => Err(LinkError::UnknownKind(self.kind)),
            };
        };
        let body = length.checked_sub(kind.fixed_bytes() + fields);
        let body = body.ok_or(LinkError::FrameTooShort(kind))?;
        if body > kind.max_body_bytes() {
            return Err(LinkError::FrameTooLarge { length, fields });
        }
        if !kind.allows_sequence(self.sequence) {
            return Err(LinkError::Sequence {
                kind,
                sequence: self.sequence,
            });
        }
        Ok(Some(kind))
    }

    pub(super) fn length_bytes(self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    pub(super) fn fields_bytes(self) -> usize {
        usize::from(self.fields)
    }

    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::link::limits::MAX_BODY_BYTES;

    fn header(length: usize, kind: u8, fields: u16, sequence: u64) -> FrameHeader {
        FrameHeader {
            length: u32::try_from(length).unwrap(),
            kind,
            flags: 0,
            fields,
            sequence,
        }
    }

    #[test]
    fn what_the_header_shows_is_refused_before_the_rest_comes() {
        let request = FrameKind::Request as u8;
        let largest = 44 + MAX_BODY_BYTES;
        for (header, verdict) in [
            (header(44, request, 0, 1), Ok(Some(FrameKind::Request))),
            (header(largest, request, 0, 1), Ok(Some(FrameKind::Request))),
            (
                header(43, request, 0, 1),
                Err(LinkError::FrameTooShort(FrameKind::Request)),
            ),
            (
                header(44, request, 1, 1),
                Err(LinkError::FrameTooShort(FrameKind::Request)),
            ),
            (
                header(largest + 1, request, 0, 1),
                Err(LinkError::FrameTooLarge {
                    length: largest + 1,
                    fields: 0,
                }),
            ),
            (
                header(MAX_LENGTH + 1, 0x10, 0, 0),
                Err(LinkError::FrameTooLarge {
                    length: MAX_LENGTH + 1,
                    fields: 0,
                }),
            ),
            (
                header(30_000, request, 16_385, 1),
                Err(LinkError::FrameTooLarge {
                    length: 30_000,
                    fields: 16_385,
                }),
            ),
            (
                header(44, request, 0, 0),
                Err(LinkError::Sequence {
                    kind: FrameKind::Request,
                    sequence: 0,
                }),
            ),
            (
                header(8, FrameKind::Ping as u8, 0, 1),
                Err(LinkError::Sequence {
                    kind: FrameKind::Ping,
                    sequence: 1,
                }),
            ),
            (
                header(9, FrameKind::Ping as u8, 0, 0),
                Err(LinkError::FrameTooLarge {
                    length: 9,
                    fields: 0,
                }),
            ),
            (header(MAX_LENGTH, 0x10, 0, 5), Ok(None)),
            (header(1, 0x10, 2, 5), Err(LinkError::UnknownKind(0x10))),
            (header(0, 0x90, 0, 0), Err(LinkError::UnknownKind(0x90))),
            (header(0, 0x01, 0, 0), Ok(None)),
        ] {
            assert_eq!(header.check(), verdict, "{header:?}");
        }
    }
}
