//! The bytes of version 1, recorded: no later version may read or write them otherwise.

use std::collections::BTreeMap;

use super::*;
use crate::code::Code;
use crate::error::{Executed, RequestErrorKind};
use crate::route::headers::Headers;
use crate::route::link::error::ErrorDetailBytes;

/// A line for each frame: a name, a colon, and bytes in hexadecimal.
const VERSION_1: &str = include_str!("version_1.txt");

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pairs = digits.chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

fn id(number: u32) -> InternedId {
    InternedId::new(number).unwrap()
}

fn requests(headers: &Headers) -> Vec<(&'static str, LinkSide, LinkFrame<'_>)> {
    let LinkFrame::Request(request) = frames::request(1) else {
        panic!("not a request");
    };
    let client = |name, frame| (name, LinkSide::Client, LinkFrame::Request(frame));
    vec![
        client("request that defines its texts", request),
        client(
            "request by ids from a handler",
            RequestFrame {
                sequence: 2,
                is_from_handler: true,
                time_left_ms: 0,
                receiver: TextReference::Interned(id(1)),
                message_type: TextReference::Interned(id(1)),
                ..request
            },
        ),
        client(
            "request with headers and texts that are not remembered",
            RequestFrame {
                sequence: 0x0102_0304_0506_0708,
                receiver: TextReference::Inline("cart-7"),
                message_type: TextReference::Inline("shop/AddItem"),
                headers: HeaderFields::of(Some(headers)),
                content: FrameContent::Whole(&[]),
                ..request
            },
        ),
        client(
            "request in chunks",
            RequestFrame {
                sequence: 3,
                receiver: TextReference::Interned(id(1)),
                message_type: TextReference::Interned(id(1)),
                content: FrameContent::Chunked { bytes: 70_000 },
                ..request
            },
        ),
    ]
}

fn answers() -> Vec<(&'static str, LinkSide, LinkFrame<'static>)> {
    let error = ErrorFrame {
        sequence: 5,
        kind: RequestErrorKind::Application,
        executed: Executed::Yes,
        code: Some(Code::NotFound),
        text: "no such item",
        holder: None,
        token: None,
        detail: Some(ErrorDetailBytes {
            wire_name: "shop/Why",
            bytes: &[0x08, 0x07],
        }),
    };
    let taken = ErrorFrame {
        sequence: 6,
        kind: RequestErrorKind::AlreadyRunning,
        executed: Executed::No,
        code: None,
        text: "",
        holder: Some("10-0-0-1-7777"),
        token: "2a:17".parse().ok(),
        detail: None,
    };
    let large = ReplyFrame {
        sequence: 3,
        message_type: TextReference::Interned(id(1)),
        content: FrameContent::Chunked { bytes: 66_561 },
    };
    let server = |name, frame| (name, LinkSide::Server, frame);
    vec![
        server("reply", frames::reply(1)),
        server("reply in chunks", LinkFrame::Reply(large)),
        server("error of an actor", LinkFrame::Error(error)),
        server("error that names a holder", LinkFrame::Error(taken)),
    ]
}

fn others() -> Vec<(&'static str, LinkSide, LinkFrame<'static>)> {
    use LinkSide::{Client, Server};
    let chunk = |is_last| {
        LinkFrame::Chunk(ChunkFrame {
            sequence: 3,
            is_last,
            bytes: &[1, 2, 3],
        })
    };
    let credit = CreditFrame::Link {
        requests: 32,
        bytes: 4096,
    };
    let ticket = CreditFrame::Ticket {
        sequence: 3,
        bytes: 70_000,
    };
    let away = GoAwayFrame {
        last_sequence: 3,
        reason: GoAwayReason::Shutdown,
        text: "bye",
    };
    vec![
        ("hello of a client", Client, hello(Client)),
        ("hello of a server", Server, hello(Server)),
        ("chunk", Client, chunk(false)),
        ("last chunk", Client, chunk(true)),
        ("credit", Server, LinkFrame::Credit(credit)),
        ("ticket", Server, LinkFrame::Credit(ticket)),
        (
            "cancel",
            Client,
            LinkFrame::Cancel(CancelFrame { sequence: 3 }),
        ),
        ("ping", Client, LinkFrame::Ping(PingFrame(*b"12345678"))),
        ("pong", Server, LinkFrame::Pong(PongFrame(*b"12345678"))),
        ("go away", Server, LinkFrame::GoAway(away)),
    ]
}

#[test]
fn the_frames_of_version_1_keep_their_bytes() {
    let mut recorded: BTreeMap<_, _> = VERSION_1
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    let mut headers = Headers::default();
    headers.add("traceparent", "00-1-2-01").unwrap();
    headers.add("x", "naïve").unwrap();
    let all = [requests(&headers), answers(), others()].concat();
    for (name, sender, frame) in all {
        let bytes = hex(recorded.remove(name).unwrap());
        assert_eq!(encoded(&frame), bytes, "{name}");
        let mut decoder = Decoder::before(sender, &frame);
        assert_eq!(decoded(&mut decoder, &bytes), Ok(frame), "{name}");
    }
    assert!(recorded.is_empty(), "{recorded:?}");
}

/// The example of the specification: the lines of its `hex` blocks, which begin with the side that
/// sends them.
fn example(side: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/link-protocol.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```hex\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    let mut sender = "";
    let mut bytes = Vec::new();
    for line in lines {
        let line = line.split('#').next().unwrap().trim();
        match line {
            "client:" | "server:" => sender = line,
            bytes_here if sender.starts_with(side) => bytes.extend(hex(bytes_here)),
            _ => {}
        }
    }
    bytes
}

fn frames_of(sender: LinkSide, bytes: &[u8]) -> Vec<LinkFrame<'_>> {
    let mut decoder = Decoder::new(sender);
    let mut frames = Vec::new();
    let mut begin = 0;
    while begin < bytes.len() {
        let Ok(Decoded::Frame { frame, bytes }) = decoder.decode(&bytes[begin..]) else {
            panic!("no frame at {begin}");
        };
        frames.push(frame);
        begin += bytes;
    }
    frames
}

#[test]
fn the_example_of_the_specification_is_what_is_sent() {
    let client = example("client");
    assert_eq!(sniff(&client), Sniffed::Link);
    let server = example("server");
    let (asked, answered) = (&client[GREETING.len()..], &server[..]);
    any_bytes(asked);
    any_bytes(answered);
    let asked_frames = frames_of(LinkSide::Client, asked);
    let answered_frames = frames_of(LinkSide::Server, answered);
    for (frames, bytes) in [(&asked_frames, asked), (&answered_frames, answered)] {
        let mut buffer = BytesMut::new();
        for frame in frames {
            frame.encode(&mut buffer).unwrap();
        }
        assert_eq!(buffer, bytes);
    }

    let LinkFrame::Request(first) = frames::request(1) else {
        panic!("not a request");
    };
    let by_id = RequestFrame {
        sequence: 2,
        receiver: TextReference::Interned(id(1)),
        message_type: TextReference::Interned(id(1)),
        ..first
    };
    let cancel = LinkFrame::Cancel(CancelFrame { sequence: 2 });
    let sent = [
        hello(LinkSide::Client),
        LinkFrame::Request(first),
        LinkFrame::Request(by_id),
        cancel,
    ];
    assert_eq!(asked_frames, sent);
    let cancelled = ErrorFrame {
        sequence: 2,
        kind: RequestErrorKind::NoReply,
        executed: Executed::No,
        code: None,
        text: "cancelled",
        holder: None,
        token: None,
        detail: None,
    };
    let credit = CreditFrame::Link {
        requests: 2,
        bytes: 122,
    };
    let away = GoAwayFrame {
        last_sequence: 2,
        reason: GoAwayReason::Shutdown,
        text: "",
    };
    let sent = [
        hello(LinkSide::Server),
        frames::reply(1),
        LinkFrame::Error(cancelled),
        LinkFrame::Credit(credit),
        LinkFrame::GoAway(away),
    ];
    assert_eq!(answered_frames, sent);
}
