//! The kinds of frames, and what each may contain.

use super::limits::MAX_BODY_BYTES;
use super::side::LinkSide;

/// The bit that marks a kind as critical: a receiver that does not know the kind closes the link.
pub(super) const CRITICAL_KIND: u8 = 0x80;

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    Hello = 0x81,
    Request = 0x82,
    Chunk = 0x83,
    Reply = 0x84,
    Error = 0x85,
    Credit = 0x86,
    Cancel = 0x87,
    Ping = 0x88,
    Pong = 0x89,
    GoAway = 0x8a,
}

impl FrameKind {
    pub(super) const fn of_number(number: u8) -> Option<Self> {
        Some(match number {
            0x81 => Self::Hello,
            0x82 => Self::Request,
            0x83 => Self::Chunk,
            0x84 => Self::Reply,
            0x85 => Self::Error,
            0x86 => Self::Credit,
            0x87 => Self::Cancel,
            0x88 => Self::Ping,
            0x89 => Self::Pong,
            0x8a => Self::GoAway,
            _ => return None,
        })
    }

    /// Returns the length of the fixed fields. It is the same in all versions.
    pub(super) const fn fixed_bytes(self) -> usize {
        match self {
            Self::Hello => 88,
            Self::Request => 44,
            Self::Chunk | Self::Cancel => 0,
            Self::Reply | Self::Error => 4,
            Self::Credit => 12,
            Self::Ping | Self::Pong => 8,
            Self::GoAway => 10,
        }
    }

    pub(super) const fn max_body_bytes(self) -> usize {
        match self {
            Self::Request | Self::Chunk | Self::Reply | Self::Error => MAX_BODY_BYTES,
            Self::GoAway => 1024,
            Self::Hello | Self::Credit | Self::Cancel | Self::Ping | Self::Pong => 0,
        }
    }

    /// Returns whether a frame of this kind may have this sequence number. The number of a request
    /// is never 0; a `Credit` has one only if it is a ticket.
    pub(super) const fn allows_sequence(self, sequence: u64) -> bool {
        match self {
            Self::Request | Self::Chunk | Self::Reply | Self::Error | Self::Cancel => sequence != 0,
            Self::Credit => true,
            Self::Hello | Self::Ping | Self::Pong | Self::GoAway => sequence == 0,
        }
    }

    pub(super) const fn is_sent_by(self, side: LinkSide) -> bool {
        match self {
            Self::Request | Self::Cancel => matches!(side, LinkSide::Client),
            Self::Reply | Self::Error => matches!(side, LinkSide::Server),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::link::limits::MAX_FIXED_BYTES;

    #[test]
    fn every_kind_fits_into_the_largest_frame() {
        for number in 0..=u8::MAX {
            if let Some(kind) = FrameKind::of_number(number) {
                assert_eq!(kind as u8, number);
                assert!(number & CRITICAL_KIND != 0);
                assert!(kind.fixed_bytes() <= MAX_FIXED_BYTES);
                assert!(kind.max_body_bytes() <= MAX_BODY_BYTES);
            }
        }
    }
}
