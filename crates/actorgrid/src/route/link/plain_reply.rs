//! A short reply of an interned type, as most are, read from its header alone.

use super::content::MORE;
use super::frame_kind::FrameKind;
use super::header::{FrameHeader, HEADER_BYTES};
use super::interned_id::InternedId;

const KIND: FrameKind = FrameKind::Reply;
/// The longest body of such a reply.
pub(crate) const MAX_PLAIN_BYTES: usize = 128;

/// A whole reply that is short, and whose type is interned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlainReply<'a> {
    pub(crate) sequence: u64,
    pub(crate) message_type: InternedId,
    pub(crate) body: &'a [u8],
    /// The bytes behind the header.
    pub(crate) length: usize,
}

impl<'a> PlainReply<'a> {
    /// Reads one at the beginning of the buffer. `None` for everything else, which the
    /// [`Decoder`](super::Decoder) reads, and for a part of one.
    #[inline]
    pub(crate) fn read(buffer: &'a [u8]) -> Option<Self> {
        let (header, rest) = buffer.split_first_chunk::<HEADER_BYTES>()?;
        let header = FrameHeader::of_bytes(*header);
        let length = header.length_bytes();
        let is_plain = header.kind == KIND as u8
            && header.fields == 0
            && !header.has(MORE)
            && header.sequence != 0
            && length <= KIND.fixed_bytes() + MAX_PLAIN_BYTES;
        let payload = rest.get(..length).filter(|_| is_plain)?;
        let (number, body) = payload.split_first_chunk()?;
        Some(Self {
            sequence: header.sequence,
            message_type: InternedId::new(u32::from_le_bytes(*number))?,
            body,
            length,
        })
    }
}
