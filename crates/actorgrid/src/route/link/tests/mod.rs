//! Every frame comes back as it was sent, however the stream is cut; the bytes of version 1 stay as
//! they are; and no bytes do harm.

use bytes::BytesMut;
use proptest::prelude::*;

use super::any_bytes::any_bytes;
use super::*;

mod frames;
mod recorded;

use frames::{any_frame, frame_of_client, hello};

fn encoded(frame: &LinkFrame<'_>) -> BytesMut {
    let mut buffer = BytesMut::new();
    frame.encode(&mut buffer).unwrap();
    buffer
}

/// Decodes one frame, which must take all bytes.
fn decoded<'a>(decoder: &mut Decoder, buffer: &'a [u8]) -> Result<LinkFrame<'a>, LinkError> {
    match decoder.decode(buffer)? {
        Decoded::Frame { frame, bytes } => {
            assert_eq!(bytes, buffer.len());
            Ok(frame)
        }
        other => panic!("{other:?}"),
    }
}

/// A stream of a client: `Hello`, and then these frames with numbers that grow.
fn stream_of(frames: &[LinkFrame<'static>]) -> (BytesMut, Vec<LinkFrame<'static>>) {
    let mut stream = BytesMut::new();
    let mut sent = vec![hello(LinkSide::Client)];
    let mut last = 0;
    for frame in frames {
        let mut frame = *frame;
        match &mut frame {
            LinkFrame::Request(request) => {
                last += 1 + request.sequence % 7;
                request.sequence = last;
            }
            LinkFrame::Chunk(chunk) if last > 0 => chunk.sequence = last,
            LinkFrame::Cancel(cancel) if last > 0 => cancel.sequence = last,
            LinkFrame::Chunk(_) | LinkFrame::Cancel(_) => continue,
            _ => {}
        }
        sent.push(frame);
    }
    for frame in &sent {
        frame.encode(&mut stream).unwrap();
    }
    (stream, sent)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_frame_comes_back((sender, frame) in any_frame()) {
        let buffer = encoded(&frame);
        let mut decoder = Decoder::before(sender, &frame);
        prop_assert_eq!(decoded(&mut decoder, &buffer), Ok(frame));
        if let LinkFrame::Request(request) = frame
            && let FrameContent::Whole(body) = request.content
            && let Some(head) = request.plain_head(body.len())
        {
            prop_assert_eq!(&buffer[..], [&head[..], body].concat());
        }
        if let LinkFrame::Reply(reply) = frame {
            let plain = PlainReply::read(&buffer);
            let is_plain = match (reply.message_type, reply.content) {
                (TextReference::Interned(_), FrameContent::Whole(body)) => {
                    body.len() <= MAX_PLAIN_BYTES
                }
                _ => false,
            };
            prop_assert_eq!(plain.is_some(), is_plain);
            prop_assert_eq!(plain.map_or(0, |plain| plain.length + HEADER_BYTES) == buffer.len(), is_plain);
            prop_assert_eq!(PlainReply::read(&buffer[..buffer.len() - 1]), None);
        }
        for cut in [0, 1, HEADER_BYTES - 1, HEADER_BYTES, buffer.len() - 1] {
            let mut decoder = Decoder::before(sender, &frame);
            let step = decoder.decode(&buffer[..cut.min(buffer.len() - 1)]);
            let is_incomplete = matches!(step, Ok(Decoded::Incomplete { .. }));
            prop_assert!(is_incomplete, "{:?}", step);
        }
    }

    #[test]
    fn a_stream_cut_at_any_place_decodes_the_same(
        frames in proptest::collection::vec(frame_of_client(), 0..8),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (stream, sent) = stream_of(&frames);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        let mut decoder = Decoder::new(LinkSide::Client);
        let (mut begin, mut read) = (0, Vec::new());
        for end in cuts {
            while let Decoded::Frame { frame, bytes } = decoder.decode(&stream[begin..end])? {
                read.push(frame);
                begin += bytes;
            }
        }
        prop_assert_eq!(begin, stream.len());
        prop_assert_eq!(read, sent);
    }

    /// The twin of the fuzz target: streams that are valid up to a point.
    #[test]
    fn no_bytes_do_harm(
        frames in proptest::collection::vec(frame_of_client(), 0..6),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
        noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let (mut stream, _) = stream_of(&frames);
        for (place, flip) in flips {
            let place = place.index(stream.len());
            stream[place] ^= flip;
        }
        stream.truncate(end.index(stream.len() + 1));
        stream.extend_from_slice(&noise);
        any_bytes(&stream);
    }

    #[test]
    fn noise_does_no_harm(noise in proptest::collection::vec(any::<u8>(), 0..256)) {
        any_bytes(&noise);
    }
}

#[test]
fn a_message_can_be_encoded_straight_into_its_frame() {
    let reply = ReplyFrame {
        sequence: 5,
        message_type: TextReference::Inline("t"),
        content: FrameContent::Whole(b"message"),
    };
    let mut buffer = BytesMut::from(&b"before"[..]);
    let empty = ReplyFrame {
        content: FrameContent::Whole(&[]),
        ..reply
    };
    let frame = empty.begin(&mut buffer, 7);
    buffer.extend_from_slice(b"message");
    frame.finish(&mut buffer).unwrap();
    assert_eq!(buffer[6..], encoded(&LinkFrame::Reply(reply)));

    let frame = empty.begin(&mut buffer, 7);
    frame.discard(&mut buffer);
    assert_eq!(buffer.len(), 6 + encoded(&LinkFrame::Reply(reply)).len());
}

#[test]
fn kinds_come_in_order_and_from_the_right_side() {
    use LinkSide::{Client, Server};
    let request = frames::request(1);
    let cancel = LinkFrame::Cancel(CancelFrame { sequence: 1 });
    let ping = LinkFrame::Ping(PingFrame([1; 8]));
    let reply = frames::reply(1);
    let (sequence, bytes) = (1, 70_000);
    let ticket = LinkFrame::Credit(CreditFrame::Ticket { sequence, bytes });
    let sequence = |kind, sequence| LinkError::Sequence { kind, sequence };
    let unexpected = LinkError::UnexpectedKind;
    for (sender, stream, error) in [
        (Client, vec![request], LinkError::NotHello(0x82)),
        (Server, vec![ping], LinkError::NotHello(0x88)),
        (
            Client,
            vec![hello(Client), hello(Client)],
            unexpected(FrameKind::Hello),
        ),
        (
            Client,
            vec![hello(Client), reply],
            unexpected(FrameKind::Reply),
        ),
        (
            Client,
            vec![hello(Client), ticket],
            unexpected(FrameKind::Credit),
        ),
        (
            Server,
            vec![hello(Server), request],
            unexpected(FrameKind::Request),
        ),
        (
            Server,
            vec![hello(Server), cancel],
            unexpected(FrameKind::Cancel),
        ),
        (
            Client,
            vec![hello(Server)],
            LinkError::Value(FrameKind::Hello),
        ),
        (
            Server,
            vec![hello(Client)],
            LinkError::Value(FrameKind::Hello),
        ),
        (
            Client,
            vec![hello(Client), cancel],
            sequence(FrameKind::Cancel, 1),
        ),
        (
            Client,
            vec![hello(Client), request, request],
            sequence(FrameKind::Request, 1),
        ),
        (
            Client,
            vec![hello(Client), frames::request(9), frames::request(8)],
            sequence(FrameKind::Request, 8),
        ),
    ] {
        let mut decoder = Decoder::new(sender);
        let (last, before) = stream.split_last().unwrap();
        for frame in before {
            assert_eq!(decoded(&mut decoder, &encoded(frame)), Ok(*frame));
        }
        // The header alone shows it, unless it is a `Hello` that has to be read.
        let buffer = encoded(last);
        let header = match (error, last) {
            (LinkError::Value(_), _) => &buffer[..],
            _ => &buffer[..HEADER_BYTES],
        };
        assert_eq!(decoder.decode(header), Err(error), "{last:?}");
    }
}

#[test]
fn a_server_that_refuses_says_so_in_place_of_its_hello() {
    let away = GoAwayFrame {
        last_sequence: 0,
        reason: LinkError::Namespace.reason(),
        text: "the namespace is another one",
    };
    let away = LinkFrame::GoAway(away);
    let buffer = encoded(&away);
    let mut decoder = Decoder::new(LinkSide::Server);
    assert_eq!(decoded(&mut decoder, &buffer), Ok(away));
    let mut decoder = Decoder::new(LinkSide::Client);
    assert_eq!(decoder.decode(&buffer), Err(LinkError::NotHello(0x8a)));
}

/// A frame with one optional field more.
fn with_field(frame: &LinkFrame<'_>, tag: u8) -> BytesMut {
    let mut buffer = encoded(frame);
    let fixed = match frame {
        LinkFrame::Hello(_) => 88,
        LinkFrame::Request(_) => 44,
        LinkFrame::Reply(_) => 4,
        LinkFrame::Ping(_) => 8,
        other => panic!("{other:?}"),
    };
    let tail = buffer.split_off(HEADER_BYTES + fixed);
    buffer.extend_from_slice(&[tag, 2, 0, 1, 2]);
    buffer.unsplit(tail);
    for (at, bytes) in [(0, 4), (6, 2)] {
        let mut number = [0; 4];
        number[..bytes].copy_from_slice(&buffer[at..at + bytes]);
        let number = (u32::from_le_bytes(number) + 5).to_le_bytes();
        buffer[at..at + bytes].copy_from_slice(&number[..bytes]);
    }
    buffer
}

#[test]
fn fields_of_later_versions_are_skipped_unless_they_are_critical() {
    let ping = LinkFrame::Ping(PingFrame([3; 8]));
    for (sender, frame) in [
        (LinkSide::Client, hello(LinkSide::Client)),
        (LinkSide::Client, frames::request(1)),
        (LinkSide::Server, frames::reply(1)),
        (LinkSide::Client, ping),
    ] {
        let later = with_field(&frame, 0x70);
        let mut decoder = Decoder::before(sender, &frame);
        assert_eq!(decoded(&mut decoder, &later), Ok(frame));

        let critical = with_field(&frame, 0xf0);
        let mut decoder = Decoder::before(sender, &frame);
        match (frame, decoded(&mut decoder, &critical)) {
            (LinkFrame::Request(sent), Ok(LinkFrame::Rejected(rejected))) => {
                assert_eq!(rejected.flaw, RequestFlaw::Field(0xf0));
                assert_eq!(rejected.sequence, sent.sequence);
                assert_eq!(rejected.receiver, sent.receiver);
                assert_eq!(rejected.content, sent.content);
                assert!(!rejected.flaw.to_error().may_have_executed());
            }
            (_, Err(LinkError::UnknownField { tag: 0xf0, .. })) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_request_without_a_token_that_can_be_is_rejected_and_not_the_link() {
    let request = frames::request(1);
    let token = HEADER_BYTES + 20..HEADER_BYTES + 36;
    for (bytes, flaw) in [
        ([0; 16], RequestFlaw::NoToken),
        ([0xff; 16], RequestFlaw::Token),
    ] {
        let mut buffer = encoded(&request);
        buffer[token.clone()].copy_from_slice(&bytes);
        let mut decoder = Decoder::before(LinkSide::Client, &request);
        match decoded(&mut decoder, &buffer) {
            Ok(LinkFrame::Rejected(rejected)) => assert_eq!(rejected.flaw, flaw),
            other => panic!("{other:?}"),
        }
        assert_eq!(decoder.last_sequence(), 1);
    }
}

#[test]
fn kinds_of_later_versions_are_skipped_unless_they_are_critical() {
    let mut stream = encoded(&hello(LinkSide::Client));
    let hello_bytes = stream.len();
    stream.extend_from_slice(&[3, 0, 0, 0, 0x70, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
    let mut decoder = Decoder::new(LinkSide::Client);
    assert!(decoded(&mut decoder, &stream[..hello_bytes]).is_ok());
    let rest = &stream[hello_bytes..];
    assert_eq!(decoder.decode(rest), Ok(Decoded::Skipped { bytes: 19 }));
    stream[hello_bytes + 4] = 0xf0;
    let rest = &stream[hello_bytes..hello_bytes + HEADER_BYTES];
    assert_eq!(decoder.decode(rest), Err(LinkError::UnknownKind(0xf0)));
}

#[test]
fn an_error_travels_whole() {
    use crate::error::{Executed, RequestError, RequestErrorKind};
    use crate::message::Payload;
    let error = RequestError::new(
        RequestErrorKind::Application,
        Executed::Yes,
        "no such account",
    )
    .with_code(crate::Code::NotFound)
    .held_by(crate::Name::new("peer-1").unwrap(), "2a:17".parse().ok())
    .with_detail(Payload::new("d/D", vec![10, 1, 100]));
    let frame = LinkFrame::Error(ErrorFrame::of(7, &error));
    let buffer = encoded(&frame);
    let mut decoder = Decoder::before(LinkSide::Server, &frame);
    let Ok(LinkFrame::Error(read)) = decoded(&mut decoder, &buffer) else {
        panic!("not an error");
    };
    let back = read.to_error();
    assert_eq!(back.kind(), error.kind());
    assert_eq!(back.executed(), error.executed());
    assert_eq!(back.text(), error.text());
    assert_eq!(back.code(), error.code());
    assert_eq!(back.holder(), error.holder());
    assert_eq!(back.token(), error.token());
    assert_eq!(back.payload(), error.payload());
}

#[test]
fn the_largest_error_and_the_largest_request_fit() {
    use crate::error::{MAX_ERROR_TEXT, RequestError, RequestErrorKind};
    use crate::message::Payload;
    use crate::route::headers::{Headers, MAX_HEADER_BYTES, MAX_HEADERS};
    let name = "n".repeat(crate::name::MAX_NAME_LEN);
    let text = "t".repeat(MAX_ERROR_TEXT + 1);
    for detail_bytes in [8 * 1024 - 1, 8 * 1024] {
        let error = RequestError::refused(RequestErrorKind::AlreadyRunning, text.clone())
            .held_by(crate::Name::new(&name).unwrap(), "2a:17".parse().ok())
            .with_detail(Payload::new("d", vec![0; detail_bytes]));
        let frame = ErrorFrame::of(7, &error);
        assert_eq!(frame.detail.is_some(), detail_bytes < 8 * 1024);
        let buffer = encoded(&LinkFrame::Error(frame));
        assert!(buffer.len() <= HEADER_BYTES + MAX_LENGTH);
        let short = frame.shortened();
        assert!(short.text.len() == 256 && short.detail.is_none());
        assert_eq!((short.kind, short.executed), (frame.kind, frame.executed));
    }

    let mut headers = Headers::default();
    let each = MAX_HEADER_BYTES / MAX_HEADERS;
    for _ in 0..MAX_HEADERS {
        headers.add("h", &"v".repeat(each - 1)).unwrap();
    }
    let wire_name = "t".repeat(4096);
    let LinkFrame::Request(request) = frames::request(1) else {
        panic!("not a request");
    };
    let largest = RequestFrame {
        receiver: TextReference::Inline(&name),
        message_type: TextReference::Inline(&wire_name),
        headers: HeaderFields::of(Some(&headers)),
        content: FrameContent::Whole(&[7; MAX_BODY_BYTES]),
        ..request
    };
    let frame = LinkFrame::Request(largest);
    let buffer = encoded(&frame);
    assert!(buffer.len() <= HEADER_BYTES + MAX_LENGTH);
    let mut decoder = Decoder::before(LinkSide::Client, &frame);
    assert_eq!(decoded(&mut decoder, &buffer), Ok(frame));

    let wire_name = "t".repeat(4097);
    let too_long = RequestFrame {
        message_type: TextReference::Inline(&wire_name),
        ..largest
    };
    let mut buffer = BytesMut::new();
    let error = too_long.encode(&mut buffer);
    assert_eq!(error, Err(FrameTooLarge::Fields(4097)));
    assert!(buffer.is_empty());
}
