//! Frames of every kind, made up.

use proptest::prelude::*;

use crate::code::Code;
use crate::error::{Executed, RequestErrorKind};
use crate::revision::Revision;
use crate::route::headers::Headers;
use crate::route::link::error::ErrorDetailBytes;
use crate::route::link::*;
use crate::route::meta::RequestId;
use crate::stable_names::StableName as _;
use crate::token::{ClusterId, Token};

/// A text that lives as long as the test, so that frames can borrow it.
fn text(pattern: &'static str) -> impl Strategy<Value = &'static str> {
    pattern.prop_map(|text| &*text.leak())
}

fn bytes(most: usize) -> impl Strategy<Value = &'static [u8]> {
    proptest::collection::vec(any::<u8>(), 0..=most).prop_map(|bytes| &*bytes.leak())
}

fn sequence() -> impl Strategy<Value = u64> {
    prop_oneof![1..100_u64, 1..=u64::MAX]
}

fn token() -> impl Strategy<Value = Token> {
    let parts = (any::<u64>(), 1..=i64::MAX);
    parts.prop_map(|(cluster, revision)| Token::new(ClusterId(cluster), Revision::new(revision)))
}

fn reference() -> impl Strategy<Value = TextReference<'static>> {
    let id = || (1..1_u32 << 31).prop_map(|id| InternedId::new(id).unwrap());
    prop_oneof![
        text(".{0,20}").prop_map(TextReference::Inline),
        (id(), text(".{0,20}")).prop_map(|(id, text)| TextReference::Define(id, text)),
        id().prop_map(TextReference::Interned),
    ]
}

fn content() -> impl Strategy<Value = FrameContent<'static>> {
    prop_oneof![
        4 => bytes(100).prop_map(FrameContent::Whole),
        1 => (66_561..=u32::MAX).prop_map(|bytes| FrameContent::Chunked { bytes }),
    ]
}

fn headers() -> impl Strategy<Value = HeaderFields<'static>> {
    proptest::collection::vec(("[a-z0-9._-]{1,9}", ".{0,9}"), 0..4).prop_map(|pairs| {
        let mut headers = Headers::default();
        for (name, value) in pairs {
            headers.add(&name, &value).unwrap();
        }
        HeaderFields::of(Some(Box::leak(Box::new(headers))))
    })
}

fn any_request() -> impl Strategy<Value = LinkFrame<'static>> {
    let first = (
        sequence(),
        any::<bool>(),
        any::<u32>(),
        any::<u128>(),
        token(),
    );
    let second = (reference(), reference(), headers(), content());
    (first, second).prop_map(|(first, second)| {
        let (sequence, is_from_handler, time_left_ms, id, token) = first;
        let (receiver, message_type, headers, content) = second;
        LinkFrame::Request(RequestFrame {
            sequence,
            is_from_handler,
            time_left_ms,
            id: RequestId(id),
            token,
            receiver,
            message_type,
            headers,
            content,
        })
    })
}

fn any_reply() -> impl Strategy<Value = LinkFrame<'static>> {
    (sequence(), reference(), content()).prop_map(|(sequence, message_type, content)| {
        LinkFrame::Reply(ReplyFrame {
            sequence,
            message_type,
            content,
        })
    })
}

fn any_error() -> impl Strategy<Value = LinkFrame<'static>> {
    let detail = (text("[a-z/]{0,9}"), bytes(20));
    let detail = detail.prop_map(|(wire_name, bytes)| ErrorDetailBytes { wire_name, bytes });
    let executed = &[Executed::No, Executed::Maybe, Executed::Yes][..];
    let first = (
        sequence(),
        proptest::sample::select(RequestErrorKind::ALL),
        proptest::sample::select(executed),
        proptest::option::of(proptest::sample::select(Code::ALL)),
    );
    let second = (
        text(".{0,40}"),
        proptest::option::of(text("[a-z0-9-]{1,20}")),
        proptest::option::of(token()),
        proptest::option::of(detail),
    );
    (first, second).prop_map(|(first, second)| {
        let (sequence, kind, executed, code) = first;
        let (text, holder, token, detail) = second;
        LinkFrame::Error(ErrorFrame {
            sequence,
            kind,
            executed,
            code,
            text,
            holder,
            token,
            detail,
        })
    })
}

fn any_chunk() -> impl Strategy<Value = LinkFrame<'static>> {
    (sequence(), any::<bool>(), bytes(100)).prop_map(|(sequence, is_last, bytes)| {
        let bytes = if bytes.is_empty() { &[1][..] } else { bytes };
        LinkFrame::Chunk(ChunkFrame {
            sequence,
            is_last,
            bytes,
        })
    })
}

fn any_hello(side: LinkSide) -> impl Strategy<Value = LinkFrame<'static>> {
    let numbers = (any::<u16>(), any::<u16>(), any::<u64>(), any::<u64>());
    let limits = proptest::array::uniform4(any::<u32>());
    let namespace = text("[a-z]{1,20}");
    (numbers, limits, namespace).prop_map(move |(numbers, limits, namespace)| {
        let LinkFrame::Hello(least) = hello(side) else {
            unreachable!("a hello is a hello");
        };
        let (one, other, features, required) = numbers;
        let [names, name_bytes, types, type_bytes] = limits;
        LinkFrame::Hello(HelloFrame {
            versions: LinkVersions {
                oldest: one.min(other),
                newest: one.max(other),
            },
            features,
            required: features & required,
            limits: HelloLimits {
                names: InternLimits {
                    entries: names,
                    bytes: name_bytes,
                },
                types: InternLimits {
                    entries: types,
                    bytes: type_bytes,
                },
                ..least.limits
            },
            namespace,
            ..least
        })
    })
}

fn any_go_away() -> impl Strategy<Value = LinkFrame<'static>> {
    let reason = prop_oneof![
        proptest::sample::select(&GoAwayReason::NAMED[..]),
        (100..u16::MAX).prop_map(GoAwayReason::Other),
    ];
    (any::<u64>(), reason, text(".{0,40}")).prop_map(|(last_sequence, reason, text)| {
        LinkFrame::GoAway(GoAwayFrame {
            last_sequence,
            reason,
            text,
        })
    })
}

fn any_ping() -> impl Strategy<Value = LinkFrame<'static>> {
    (any::<bool>(), any::<[u8; 8]>()).prop_map(|(is_ping, bytes)| match is_ping {
        true => LinkFrame::Ping(PingFrame(bytes)),
        false => LinkFrame::Pong(PongFrame(bytes)),
    })
}

fn any_credit() -> impl Strategy<Value = LinkFrame<'static>> {
    (any::<u32>(), 1..=u64::MAX)
        .prop_map(|(requests, bytes)| LinkFrame::Credit(CreditFrame::Link { requests, bytes }))
}

fn any_ticket() -> impl Strategy<Value = LinkFrame<'static>> {
    (sequence(), 1..=u64::MAX)
        .prop_map(|(sequence, bytes)| LinkFrame::Credit(CreditFrame::Ticket { sequence, bytes }))
}

/// A frame of any kind but `Hello` that a client may send.
pub(super) fn frame_of_client() -> impl Strategy<Value = LinkFrame<'static>> {
    prop_oneof![
        4 => any_request(),
        1 => any_chunk(),
        1 => any_credit(),
        1 => any_ping(),
        1 => any_go_away(),
        1 => sequence().prop_map(|sequence| LinkFrame::Cancel(CancelFrame { sequence })),
    ]
}

fn frame_of_server() -> impl Strategy<Value = LinkFrame<'static>> {
    prop_oneof![
        any_reply(),
        any_error(),
        any_chunk(),
        any_credit(),
        any_ticket(),
        any_ping(),
        any_go_away(),
    ]
}

/// A frame of any kind, and a side that may send it.
pub(super) fn any_frame() -> impl Strategy<Value = (LinkSide, LinkFrame<'static>)> {
    prop_oneof![
        3 => frame_of_client().prop_map(|frame| (LinkSide::Client, frame)),
        3 => frame_of_server().prop_map(|frame| (LinkSide::Server, frame)),
        1 => any_hello(LinkSide::Client).prop_map(|frame| (LinkSide::Client, frame)),
        1 => any_hello(LinkSide::Server).prop_map(|frame| (LinkSide::Server, frame)),
    ]
}

/// The `Hello` of this side.
pub(super) fn hello(side: LinkSide) -> LinkFrame<'static> {
    let is_client = side == LinkSide::Client;
    LinkFrame::Hello(HelloFrame {
        versions: LinkVersions {
            oldest: 1,
            newest: 1,
        },
        features: 0,
        required: 0,
        incarnation: 0x1122_3344_5566_7788,
        client: is_client.then_some(ClientIdentity {
            id: *b"0123456789abcdef",
            generation: 3,
        }),
        limits: HelloLimits {
            max_message_bytes: 4 * 1024 * 1024,
            credit_bytes: 16 * 1024 * 1024,
            credit_requests: if is_client { 0 } else { 1024 },
            max_unanswered: if is_client { 0 } else { 4096 },
            names: InternLimits {
                entries: if is_client { 0 } else { 1024 },
                bytes: if is_client { 0 } else { 65_536 },
            },
            types: InternLimits {
                entries: 256,
                bytes: 16_384,
            },
        },
        namespace: "shop",
    })
}

/// A small request of this number.
pub(super) fn request(sequence: u64) -> LinkFrame<'static> {
    LinkFrame::Request(RequestFrame {
        sequence,
        is_from_handler: false,
        time_left_ms: 10_000,
        id: RequestId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        token: Token::new(ClusterId(0x2a), Revision::new(17)),
        receiver: TextReference::Define(InternedId::new(1).unwrap(), "cart-7"),
        message_type: TextReference::Define(InternedId::new(1).unwrap(), "shop/AddItem"),
        headers: HeaderFields::default(),
        content: FrameContent::Whole(&[0x0a, 0x03, 0x74, 0x65, 0x61]),
    })
}

/// A small reply to the request of this number.
pub(super) fn reply(sequence: u64) -> LinkFrame<'static> {
    LinkFrame::Reply(ReplyFrame {
        sequence,
        message_type: TextReference::Define(InternedId::new(1).unwrap(), "shop/Added"),
        content: FrameContent::Whole(&[0x08, 0x01]),
    })
}
