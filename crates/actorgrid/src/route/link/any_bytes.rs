//! The invariants of reading any bytes from the network. A fuzz target calls this, and a property.

use bytes::BytesMut;

use super::content::FrameContent;
use super::decoder::{Decoded, Decoder};
use super::frame::LinkFrame;
use super::header::HEADER_BYTES;
use super::hello::InternLimits;
use super::interned_texts::InternedTexts;
use super::limits::MAX_LENGTH;
use super::link_error::LinkError;
use super::plain_reply::PlainReply;
use super::reference::TextReference;
use super::reply::ReplyFrame;
use super::request::RequestFlaw;
use super::side::LinkSide;

const LIMITS: InternLimits = InternLimits {
    entries: 16,
    bytes: 512,
};

/// Everything that was read from a stream, up to its end or its first error.
#[derive(Debug, Default, PartialEq)]
struct ReadStream {
    /// The frames, encoded again.
    frames: BytesMut,
    rejected: Vec<(u64, RequestFlaw)>,
    texts: Vec<String>,
    skipped_bytes: usize,
    error: Option<LinkError>,
}

/// Reads the bytes as the stream of a client and as that of a server, before and after its `Hello`.
/// They arrive whole, one by one, and in parts whose lengths are taken from the bytes themselves;
/// the result must be the same.
///
/// # Panics
///
/// If an invariant does not hold.
pub(crate) fn any_bytes(bytes: &[u8]) {
    for sender in [LinkSide::Client, LinkSide::Server] {
        for begin in [Decoder::new, Decoder::behind_hello] {
            let whole = read_in_parts(begin(sender), sender, bytes, |_| bytes.len());
            let single = read_in_parts(begin(sender), sender, bytes, |_| 1);
            assert_eq!(whole, single);
            let parts = read_in_parts(begin(sender), sender, bytes, |at| {
                bytes.get(at).map_or(1, |byte| usize::from(*byte) + 1)
            });
            assert_eq!(whole, parts);
        }
    }
}

/// Reads a stream that arrives in parts. `part_bytes` returns the length of the part that begins at
/// an offset.
fn read_in_parts(
    mut decoder: Decoder,
    sender: LinkSide,
    bytes: &[u8],
    part_bytes: impl Fn(usize) -> usize,
) -> ReadStream {
    let mut names = InternedTexts::new(LIMITS);
    let mut types = InternedTexts::new(LIMITS);
    let mut read = ReadStream::default();
    let (mut begin, mut end, mut needed) = (0, 0, HEADER_BYTES);
    while end < bytes.len() {
        end = bytes.len().min(end + part_bytes(end).max(1));
        // A reader that knows how many bytes it needs does not decode before it has them.
        while end - begin >= needed {
            let decoded = decoder.decode(&bytes[begin..end]);
            shortcut_agrees(sender, &bytes[begin..end], decoded);
            match decoded {
                Ok(Decoded::Incomplete { needed: more }) => {
                    assert!(more > end - begin && more <= HEADER_BYTES + MAX_LENGTH);
                    needed = more;
                }
                Ok(Decoded::Skipped { bytes }) => {
                    read.skipped_bytes += bytes;
                    begin += bytes;
                    needed = HEADER_BYTES;
                }
                Ok(Decoded::Frame { frame, bytes: size }) => {
                    comes_back(sender, &frame);
                    let noted = read.note(&frame, &mut names, &mut types);
                    if let Err(error) = noted {
                        read.error = Some(error);
                        return read;
                    }
                    begin += size;
                    needed = HEADER_BYTES;
                }
                Err(error) => {
                    read.error = Some(error);
                    return read;
                }
            }
        }
    }
    read
}

impl ReadStream {
    fn note(
        &mut self,
        frame: &LinkFrame<'_>,
        names: &mut InternedTexts<String>,
        types: &mut InternedTexts<String>,
    ) -> Result<(), LinkError> {
        let (receiver, message_type) = match frame {
            LinkFrame::Request(request) => (Some(request.receiver), Some(request.message_type)),
            LinkFrame::Rejected(request) => {
                self.rejected.push((request.sequence, request.flaw));
                (Some(request.receiver), Some(request.message_type))
            }
            LinkFrame::Reply(reply) => (None, Some(reply.message_type)),
            _ => (None, None),
        };
        for (table, reference) in [(names, receiver), (types, message_type)] {
            if let Some(reference) = reference {
                let text = table.resolve(reference, str::to_owned)?.get().clone();
                self.texts.push(text);
                assert!(table.bytes() <= LIMITS.bytes as usize);
            }
        }
        let encoded = frame.encode(&mut self.frames);
        assert_eq!(encoded, Ok(()), "{frame:?}");
        Ok(())
    }
}

/// Checks that a reply that is read from its header alone is the one that the decoder reads.
fn shortcut_agrees(sender: LinkSide, buffer: &[u8], decoded: Result<Decoded<'_>, LinkError>) {
    let has_greeted = !matches!(decoded, Err(LinkError::NotHello(_)));
    if sender == LinkSide::Server
        && has_greeted
        && let Some(plain) = PlainReply::read(buffer)
    {
        let frame = LinkFrame::Reply(ReplyFrame {
            sequence: plain.sequence,
            message_type: TextReference::Interned(plain.message_type),
            content: FrameContent::Whole(plain.body),
        });
        let bytes = HEADER_BYTES + plain.length;
        assert_eq!(decoded, Ok(Decoded::Frame { frame, bytes }));
    }
}

/// Checks that a frame that was read is equal to what its own encoding decodes to.
fn comes_back(sender: LinkSide, frame: &LinkFrame<'_>) {
    if matches!(frame, LinkFrame::Rejected(_)) {
        return;
    }
    let mut buffer = BytesMut::new();
    assert_eq!(frame.encode(&mut buffer), Ok(()), "{frame:?}");
    let mut decoder = Decoder::before(sender, frame);
    let again = decoder.decode(&buffer);
    let bytes = buffer.len();
    let whole = Decoded::Frame {
        frame: *frame,
        bytes,
    };
    assert_eq!(again, Ok(whole));
}
