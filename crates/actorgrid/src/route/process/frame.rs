use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::buf::Chain;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What stands before each message: a flag for compression, and the length.
const PREFIX_BYTES: usize = 5;
/// Data up to this size is copied into one buffer with what surrounds it: cheaper than parts.
const COPIED_BYTES: usize = 4 * 1024;
/// The room that is made ahead for a message that comes in parts: its announced length is only
/// a claim until the bytes are there.
const FIRST_ROOM_BYTES: usize = 64 * 1024;

const DATA_TAG: u8 = 2 << 3 | 2;
const TYPE_NAME_TAG: u8 = 3 << 3 | 2;
const RECEIVER_TAG: u8 = 4 << 3 | 2;

/// A framed message: what stands before the data, the data, and what stands behind it.
pub(super) type Framed = Chain<Bytes, Chain<Bytes, Bytes>>;

/// A `Delivery` of version 1, framed. The data is not copied unless it is small.
pub(super) fn delivery(data: &Bytes, type_name: &str, receiver: &str) -> Framed {
    let field = |length: usize| match length {
        0 => 0,
        _ => 1 + prost::length_delimiter_len(length) + length,
    };
    let tail_bytes = field(type_name.len()) + field(receiver.len());
    let length = field(data.len()) + tail_bytes;
    let copied = data.len() <= COPIED_BYTES;
    let room = if copied { length } else { 16 };

    let mut head = BytesMut::with_capacity(PREFIX_BYTES + room);
    head.put_u8(0);
    // The limit on messages is far below 4 GiB and is checked before.
    head.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    if !data.is_empty() {
        put_tag(&mut head, DATA_TAG, data.len());
    }
    if copied {
        head.put_slice(data);
        put_text(&mut head, TYPE_NAME_TAG, type_name);
        put_text(&mut head, RECEIVER_TAG, receiver);
        return head.freeze().chain(Bytes::new().chain(Bytes::new()));
    }
    let mut tail = BytesMut::with_capacity(tail_bytes);
    put_text(&mut tail, TYPE_NAME_TAG, type_name);
    put_text(&mut tail, RECEIVER_TAG, receiver);
    head.freeze().chain(data.clone().chain(tail.freeze()))
}

/// A small message, framed.
pub(super) fn message(message: &impl prost::Message) -> Framed {
    let length = message.encoded_len();
    let mut whole = BytesMut::with_capacity(PREFIX_BYTES + length);
    whole.put_u8(0);
    whole.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A BytesMut grows: it cannot run out of room.
    let _ = message.encode(&mut whole);
    whole.freeze().chain(Bytes::new().chain(Bytes::new()))
}

fn put_tag(buffer: &mut BytesMut, tag: u8, length: usize) {
    buffer.put_u8(tag);
    // A BytesMut grows: it cannot run out of room.
    let _ = prost::encode_length_delimiter(length, buffer);
}

fn put_text(buffer: &mut BytesMut, tag: u8, text: &str) {
    if !text.is_empty() {
        put_tag(buffer, tag, text.len());
        buffer.put_slice(text.as_bytes());
    }
}

/// A body of at most one message, and trailers if it answers; or of what a stream gives.
#[derive(Default)]
pub(super) struct Outgoing {
    message: Option<Framed>,
    then: Then,
}

/// What comes after the one message.
#[derive(Default)]
enum Then {
    #[default]
    Nothing,
    Trailers(HeaderMap),
    Frames(BoxStream<'static, Frame<Framed>>),
}

impl Outgoing {
    pub(super) fn request(message: Framed) -> Self {
        Self {
            message: Some(message),
            then: Then::Nothing,
        }
    }

    pub(super) fn reply(message: Framed, trailers: HeaderMap) -> Self {
        Self {
            message: Some(message),
            then: Then::Trailers(trailers),
        }
    }

    /// Messages, and trailers as the last frame. One is asked for only when there is room to send
    /// it, so nothing piles up here before a slow reader.
    pub(super) fn frames(frames: impl Stream<Item = Frame<Framed>> + Send + 'static) -> Self {
        Self {
            message: None,
            then: Then::Frames(frames.boxed()),
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Framed;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Framed>, Self::Error>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if let Then::Frames(frames) = &mut self.then {
            return frames.poll_next_unpin(cx).map(|frame| frame.map(Ok));
        }
        match std::mem::take(&mut self.then) {
            Then::Trailers(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && matches!(self.then, Then::Nothing)
    }
}

/// Why a body is not one message, or not several.
#[derive(Debug)]
pub(super) enum ReadError<E> {
    /// The body ended before a message.
    Missing,
    /// The body ended within the message.
    Cut,
    /// The message has this many bytes.
    TooLarge(usize),
    Compressed,
    /// There are bytes after the message.
    Trailing,
    Body(E),
}

/// The memory that messages may take together while their parts come in. Only those that do not
/// come whole in their first part wait for room in it.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Room for 256 MiB: 64 messages of the default limit at once. What would be more waits, and
    /// flow control holds its sender back, however many streams and connections there are.
    pub(super) const KIB: usize = 256 * 1024;

    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(Self::KIB)))
    }

    /// Waits for room for a message of this many bytes; one that is larger than all of it takes
    /// all of it.
    async fn take(&self, length: usize) -> Option<OwnedSemaphorePermit> {
        let kib = length.div_ceil(1024).min(Self::KIB);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        self.0.clone().acquire_many_owned(kib).await.ok()
    }
}

/// A body as it is read.
pub(super) struct Reader<B> {
    body: B,
    limit: usize,
    /// None where the reader has asked for the message itself.
    room: Option<Room>,
    /// What has come and is not read yet.
    rest: Bytes,
    partial: Option<Partial>,
    trailers: Option<HeaderMap>,
}

/// A message of which only a part has come.
struct Partial {
    length: usize,
    bytes: BytesMut,
    _taken: Option<OwnedSemaphorePermit>,
}

impl<B> Reader<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(body: B, limit: usize) -> Self {
        Self {
            body,
            limit,
            room: None,
            rest: Bytes::new(),
            partial: None,
            trailers: None,
        }
    }

    /// Takes no more memory for messages that come in parts than there is room for.
    pub(super) fn within(mut self, room: &Room) -> Self {
        self.room = Some(room.clone());
        self
    }

    /// The one message. What comes later stays unread. Cancel safe.
    pub(super) async fn message(&mut self) -> Result<Bytes, ReadError<B::Error>> {
        let message = self.next().await?.ok_or(ReadError::Missing)?;
        match self.rest.is_empty() {
            true => Ok(message),
            false => Err(ReadError::Trailing),
        }
    }

    /// The next of several messages; none at the end of the body. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ReadError<B::Error>> {
        let partial = match &mut self.partial {
            Some(partial) => partial,
            None => {
                while self.rest.len() < PREFIX_BYTES {
                    match data(&mut self.body, &mut self.trailers).await? {
                        Some(chunk) if self.rest.is_empty() => self.rest = chunk,
                        Some(chunk) => self.rest = [&self.rest[..], &chunk].concat().into(),
                        None if self.rest.is_empty() => return Ok(None),
                        None => return Err(ReadError::Cut),
                    }
                }
                let mut prefix = &self.rest[..PREFIX_BYTES];
                let flag = prefix.get_u8();
                let length = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
                if flag != 0 {
                    return Err(ReadError::Compressed);
                }
                if length > self.limit {
                    return Err(ReadError::TooLarge(length));
                }
                if self.rest.len() - PREFIX_BYTES >= length {
                    self.rest.advance(PREFIX_BYTES);
                    return Ok(Some(self.rest.split_to(length)));
                }
                let taken = match &self.room {
                    Some(room) => room.take(length).await,
                    None => None,
                };
                let mut bytes = BytesMut::with_capacity(length.min(FIRST_ROOM_BYTES));
                self.rest.advance(PREFIX_BYTES);
                bytes.put(std::mem::take(&mut self.rest));
                self.partial.insert(Partial {
                    length,
                    bytes,
                    _taken: taken,
                })
            }
        };
        let Partial { length, bytes, .. } = partial;
        while bytes.len() < *length {
            let chunk = data(&mut self.body, &mut self.trailers).await?;
            let mut chunk = chunk.ok_or(ReadError::Cut)?;
            let missing = *length - bytes.len();
            if chunk.len() > missing {
                self.rest = chunk.split_off(missing);
            }
            if bytes.capacity() - bytes.len() < chunk.len() {
                // Grow by doubling, but not beyond the message.
                bytes.reserve(bytes.len().max(chunk.len()).min(missing));
            }
            bytes.put(chunk);
        }
        let message = std::mem::take(bytes).freeze();
        self.partial = None;
        Ok(Some(message))
    }

    /// The trailers at the end of a body whose messages were read.
    pub(super) async fn trailers(&mut self) -> Result<Option<HeaderMap>, ReadError<B::Error>> {
        match data(&mut self.body, &mut self.trailers).await? {
            None => Ok(self.trailers.take()),
            Some(_) => Err(ReadError::Trailing),
        }
    }
}

/// The next bytes of a body; none at its end, which its trailers are.
async fn data<B>(
    body: &mut B,
    trailers: &mut Option<HeaderMap>,
) -> Result<Option<Bytes>, ReadError<B::Error>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    while trailers.is_none() {
        let Some(frame) = body.frame().await else {
            break;
        };
        match frame.map_err(ReadError::Body)?.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => return Ok(Some(data)),
            Err(frame) => *trailers = frame.into_trailers().ok(),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::grid;
    use futures_util::FutureExt as _;
    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use prost::Message as _;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    fn all(mut framed: Framed) -> Vec<u8> {
        framed.copy_to_bytes(framed.remaining()).to_vec()
    }

    /// What a Go peer was seen to send: message, type, receiver, and the bytes of the delivery.
    const GOLDEN: [(&str, &str, &str, &str); 2] = [
        (
            "0a046563686f12027731",
            "github.com/lytics/grid/v3/ActorStart",
            "wire.mailbox.127-0-0-1-23920",
            "120a0a046563686f120277311a246769746875622e636f6d2f6c79746963732f677269642f76332f4163746f725374617274221c776972652e6d61696c626f782e3132372d302d302d312d3233393230",
        ),
        (
            "",
            "github.com/lytics/grid/v3/Ack",
            "",
            "1a1d6769746875622e636f6d2f6c79746963732f677269642f76332f41636b",
        ),
    ];

    #[test]
    fn writes_the_golden_bytes() {
        for (message, type_name, receiver, golden) in GOLDEN {
            let framed = all(delivery(&hex(message).into(), type_name, receiver));
            let golden = hex(golden);
            let length = u32::try_from(golden.len()).unwrap().to_be_bytes();
            assert_eq!(framed[..PREFIX_BYTES], [&[0][..], &length].concat());
            assert_eq!(framed[PREFIX_BYTES..], golden);
        }
    }

    #[test]
    fn reads_the_golden_bytes() {
        for (message, type_name, receiver, golden) in GOLDEN {
            let delivery = grid::Delivery::decode(&hex(golden)[..]).unwrap();
            assert_eq!(delivery.data, hex(message));
            assert_eq!(delivery.type_name, type_name);
            assert_eq!(delivery.receiver, receiver);
            assert_eq!(delivery.ver, 0);
        }
    }

    #[test]
    fn large_data_is_not_copied() {
        let data = Bytes::from(vec![7; COPIED_BYTES + 1]);
        let framed = delivery(&data, "t", "r");
        assert_eq!(framed.last_ref().first_ref().as_ptr(), data.as_ptr());
    }

    async fn read(chunks: Vec<Vec<u8>>, limit: usize) -> Result<Bytes, &'static str> {
        let frames = chunks
            .into_iter()
            .map(|chunk| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(chunk))));
        let body = StreamBody::new(futures_util::stream::iter(frames));
        Reader::new(body, limit)
            .message()
            .await
            .map_err(|error| match error {
                ReadError::Missing => "missing",
                ReadError::Cut => "cut",
                ReadError::TooLarge(_) => "too large",
                ReadError::Compressed => "compressed",
                ReadError::Trailing => "trailing",
                ReadError::Body(_) => "body",
            })
    }

    #[tokio::test]
    async fn messages_in_parts_wait_for_room_and_others_do_not() {
        let room = Room(Arc::new(Semaphore::new(8)));
        let part = |bytes: &[u8]| {
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::copy_from_slice(bytes)))
        };
        // Six KiB are announced, and only a part comes.
        let open = futures_util::stream::iter([part(&[0, 0, 0, 24, 0, 1])]);
        let open = open.chain(futures_util::stream::pending());
        let mut open = Reader::new(StreamBody::new(open), 9_000).within(&room);
        let mut open = Box::pin(async move { open.message().await });
        assert!((&mut open).now_or_never().is_none());

        let large = || {
            let mut bytes = vec![0, 0, 0, 24, 0];
            bytes.resize(5 + 6_144, 7);
            let frames = [part(&bytes[..9]), part(&bytes[9..])];
            Reader::new(StreamBody::new(futures_util::stream::iter(frames)), 9_000).within(&room)
        };
        let mut waiting = large();
        let mut waiting = Box::pin(waiting.message());
        assert!((&mut waiting).now_or_never().is_none());
        let whole = futures_util::stream::iter([part(&[0, 0, 0, 0, 1, 7])]);
        let mut whole = Reader::new(StreamBody::new(whole), 9_000).within(&room);
        assert_eq!(whole.message().await.unwrap(), [7][..]);

        drop(open);
        assert_eq!(waiting.await.unwrap().len(), 6_144);
        assert_eq!(room.0.available_permits(), 8);
    }

    #[tokio::test]
    async fn several_messages_are_read_in_any_parts_and_whoever_stops_waiting_loses_none() {
        let bytes = [0, 0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        for size in 1..=bytes.len() {
            let mut frames: Vec<_> = bytes
                .chunks(size)
                .map(|chunk| Frame::data(Bytes::copy_from_slice(chunk)))
                .collect();
            frames.push(Frame::trailers(trailers.clone()));
            // Each part comes only when it was asked for twice.
            let mut ready = false;
            let mut frames = frames.into_iter().map(Ok::<_, std::convert::Infallible>);
            let frames = futures_util::stream::poll_fn(move |_| {
                ready = !ready;
                match ready {
                    true => Poll::Pending,
                    false => Poll::Ready(frames.next()),
                }
            });
            let mut reader = Reader::new(StreamBody::new(frames), 2);
            let mut read = Vec::new();
            while let Some(message) = loop {
                // Dropped while it waits for a part, as often as it has to wait.
                if let Some(message) = reader.next().now_or_never() {
                    break message.unwrap();
                }
            } {
                read.push(message.to_vec());
            }
            assert_eq!(read, [vec![7, 8], vec![], vec![9]], "in parts of {size}");
            assert_eq!(reader.trailers().await.unwrap(), Some(trailers.clone()));
        }
    }

    #[tokio::test]
    async fn tells_what_is_wrong_with_a_body() {
        for (chunks, limit, expected) in [
            (vec![], 9, Err("missing")),
            (vec![vec![]], 9, Err("missing")),
            (vec![vec![0, 0]], 9, Err("cut")),
            (vec![vec![0, 0, 0, 0, 2, 1]], 9, Err("cut")),
            (vec![vec![1, 0, 0, 0, 0]], 9, Err("compressed")),
            (vec![vec![0, 0, 0, 0, 10]], 9, Err("too large")),
            (vec![vec![0, 255, 255, 255, 255]], 9, Err("too large")),
            (vec![vec![0, 0, 0, 0, 0, 1]], 9, Err("trailing")),
            (vec![vec![0, 0, 0, 0, 2], vec![1, 2, 3]], 9, Err("trailing")),
            (vec![vec![0, 0, 0, 0, 0]], 9, Ok(vec![])),
            (vec![vec![0], vec![0, 0, 0], vec![1, 7]], 1, Ok(vec![7])),
        ] {
            let found = read(chunks.clone(), limit).await;
            assert_eq!(found, expected.map(Bytes::from), "{chunks:?}");
        }
    }

    proptest! {
        #[test]
        fn a_delivery_is_what_the_stubs_write_and_is_read_in_any_parts(
            data in proptest::collection::vec(any::<u8>(), 0..9000),
            type_name in "[a-z/]{0,200}",
            receiver in "[a-z.]{0,200}",
            cuts in proptest::collection::vec(1..4000_usize, 0..9),
        ) {
            let framed = all(delivery(&data.clone().into(), &type_name, &receiver));
            let written = grid::Delivery { ver: 0, data: data.into(), type_name, receiver };
            prop_assert_eq!(&framed[PREFIX_BYTES..], written.encode_to_vec());
            let mut chunks = Vec::new();
            let mut rest = &framed[..];
            for cut in cuts {
                let (chunk, left) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk.to_vec());
                rest = left;
            }
            chunks.push(rest.to_vec());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(read(chunks, 20_000)).unwrap();
            prop_assert_eq!(grid::Delivery::decode(read).unwrap(), written);
        }
    }
}
