//! Finds the frames in the bytes that come from one side of a link.

use super::frame::LinkFrame;
use super::frame_kind::FrameKind;
use super::header::{FrameHeader, HEADER_BYTES};
use super::link_error::LinkError;
use super::side::LinkSide;

/// Reads the frames that one side sends, behind its greeting, and checks that each is allowed at
/// this point: `Hello` first and once, each kind from the right side, numbers of requests that
/// grow.
#[derive(Debug)]
pub(crate) struct Decoder {
    sender: LinkSide,
    has_greeted: bool,
    last_sequence: u64,
}

/// The result of looking at the beginning of a buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Decoded<'a> {
    /// A frame, which takes this many bytes with its header.
    Frame { frame: LinkFrame<'a>, bytes: usize },
    /// A frame of a kind that this version does not know and need not know. It takes this many
    /// bytes. The caller counts such frames, because a flood of them costs time.
    Skipped { bytes: usize },
    /// The buffer ends within a frame. The next step needs this many bytes, which is more than the
    /// buffer has.
    Incomplete { needed: usize },
}

impl Decoder {
    /// Creates a decoder of the frames that this side sends.
    pub(crate) const fn new(sender: LinkSide) -> Self {
        Self {
            sender,
            has_greeted: false,
            last_sequence: 0,
        }
    }

    /// Creates a decoder that has read a `Hello`.
    #[cfg(any(test, fuzzing))]
    pub(super) const fn behind_hello(sender: LinkSide) -> Self {
        Self {
            sender,
            has_greeted: true,
            last_sequence: 0,
        }
    }

    /// Creates a decoder that expects this frame next.
    #[cfg(any(test, fuzzing))]
    pub(super) const fn before(sender: LinkSide, frame: &LinkFrame<'_>) -> Self {
        Self {
            sender,
            has_greeted: !matches!(frame, LinkFrame::Hello(_)),
            last_sequence: match frame {
                LinkFrame::Request(_) => 0,
                _ => u64::MAX,
            },
        }
    }

    /// Returns the greatest number of a request that was read, for a `GoAway`.
    pub(crate) const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Reads the frame at the beginning of the buffer. The caller removes its bytes.
    ///
    /// # Errors
    ///
    /// The link must be closed, and the decoder must not be used again.
    pub(crate) fn decode<'a>(&mut self, buffer: &'a [u8]) -> Result<Decoded<'a>, LinkError> {
        let Some(header) = FrameHeader::read(buffer) else {
            let needed = HEADER_BYTES;
            return Ok(Decoded::Incomplete { needed });
        };
        let kind = header.check()?;
        self.check_turn(kind, header)?;
        let bytes = HEADER_BYTES + header.length_bytes();
        let Some(payload) = buffer.get(HEADER_BYTES..bytes) else {
            return Ok(Decoded::Incomplete { needed: bytes });
        };
        let Some(kind) = kind else {
            return Ok(Decoded::Skipped { bytes });
        };
        let frame = LinkFrame::read(kind, header, payload)?;
        match &frame {
            LinkFrame::Hello(hello) => {
                hello.check(self.sender)?;
                self.has_greeted = true;
            }
            LinkFrame::Request(_) | LinkFrame::Rejected(_) => self.last_sequence = header.sequence,
            _ => {}
        }
        Ok(Decoded::Frame { frame, bytes })
    }

    /// Checks that a frame with this header is allowed now.
    fn check_turn(&self, kind: Option<FrameKind>, header: FrameHeader) -> Result<(), LinkError> {
        let Some(kind) = kind else {
            return match self.has_greeted {
                true => Ok(()),
                false => Err(LinkError::NotHello(header.kind)),
            };
        };
        let is_first = matches!(
            (kind, self.sender),
            (FrameKind::Hello, _) | (FrameKind::GoAway, LinkSide::Server)
        );
        if !self.has_greeted && !is_first {
            return Err(LinkError::NotHello(header.kind));
        }
        let is_second_hello = self.has_greeted && kind == FrameKind::Hello;
        let is_ticket_of_client =
            self.sender == LinkSide::Client && kind == FrameKind::Credit && header.sequence != 0;
        if is_second_hello || is_ticket_of_client || !kind.is_sent_by(self.sender) {
            return Err(LinkError::UnexpectedKind(kind));
        }
        let sequence = header.sequence;
        let is_in_order = match (kind, self.sender) {
            (FrameKind::Request, _) => sequence > self.last_sequence,
            (FrameKind::Chunk | FrameKind::Cancel, LinkSide::Client) => {
                sequence <= self.last_sequence
            }
            _ => true,
        };
        match is_in_order {
            true => Ok(()),
            false => Err(LinkError::Sequence { kind, sequence }),
        }
    }
}
