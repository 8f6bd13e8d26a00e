//! The duties of a served link to its client, and its bounds, frame by frame.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::link_frames::{LinkWorld, RawLink, Seen, hello, request};
use crate::error::{Executed, RequestErrorKind as Kind};
use crate::message::{DecodeError, EchoMsg, Message};
use crate::request::{MessageSet as _, Request};
use crate::route::conformance::LIMIT;
use crate::route::headers::Headers;
use crate::route::link::{
    CancelFrame, ChunkFrame, CreditFrame, FrameContent, GoAwayReason, HeaderFields, HelloFrame,
    HelloLimits, LinkFrame, RequestFrame,
};
use crate::route::serving::{BudgetLimits, WireBounds};

const MILLISECOND: Duration = Duration::from_millis(1);

const SECOND: Duration = Duration::from_secs(1);

/// A frame that no client may send.
const VIOLATION: LinkFrame<'static> = LinkFrame::Cancel(CancelFrame { sequence: 1000 });

async fn world() -> LinkWorld {
    LinkWorld::with(WireBounds::default(), LIMIT).await
}

fn echo_of(bytes: usize) -> BytesMut {
    let mut body = BytesMut::new();
    Message::encode(&EchoMsg::new("x".repeat(bytes)), &mut body);
    body
}

fn encoded(frame: &LinkFrame<'_>) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes).unwrap();
    bytes
}

/// A link whose client takes no more replies, and the number of the request whose reply waits. That
/// one has this time. Each is answered while it is all that happens on the link.
async fn without_credit(world: &LinkWorld, time_left_ms: u32) -> (RawLink, u64) {
    let least = HelloFrame {
        limits: HelloLimits {
            max_message_bytes: 40_000,
            credit_bytes: 128 * 1024,
            ..HelloLimits::default()
        },
        ..hello(1, 1)
    };
    let mut queue = world.house.queue("late");
    let mut link = world.connect(&least).await;
    assert!(matches!(link.read().await, Seen::Hello(_)));
    let reply = EchoMsg::new("x".repeat(1000));
    for sequence in 1..=200 {
        let request = RequestFrame {
            time_left_ms,
            ..request(sequence, "late", b"")
        };
        link.send(&[LinkFrame::Request(request)]).await;
        let handled = queue.recv().await.unwrap();
        handled.respond(reply.clone()).unwrap();
        let soon = world.environment.timeout(MILLISECOND, link.answer()).await;
        match soon {
            Some(seen) => assert_eq!(seen, Seen::Reply(sequence, reply.encoded_len())),
            None => return (link, sequence),
        }
    }
    panic!("all replies came");
}

#[tokio::test(start_paused = true)]
async fn a_reply_for_which_there_is_no_credit_comes_when_there_is_some() {
    let world = world().await;
    let (mut link, sequence) = without_credit(&world, 5000).await;
    assert!(sequence > 120, "{sequence}");
    let credit = CreditFrame::Link {
        requests: 0,
        bytes: 50_000,
    };
    link.send(&[LinkFrame::Credit(credit)]).await;
    assert!(matches!(link.answer().await, Seen::Reply(of, _) if of == sequence));
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_for_which_there_is_no_credit_is_given_up_in_time() {
    let world = world().await;
    let began = world.environment.now();
    let (mut link, sequence) = without_credit(&world, 1000).await;
    let lost = Seen::Error(sequence, Kind::NoReply, Executed::Yes);
    assert_eq!(link.answer().await, lost);
    let took = world.environment.now().since(began);
    assert!(
        took >= SECOND && took < SECOND + 50 * MILLISECOND,
        "{took:?}"
    );
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_word_comes_behind_all_that_waits_to_be_written() {
    let world = world().await;
    let (mut link, _) = world.open_of(1).await;
    let body = echo_of(60_000);
    for sequence in 1..=4 {
        link.send(&[LinkFrame::Request(request(sequence, "echo", &body))])
            .await;
    }
    link.send(&[VIOLATION]).await;
    world.environment.sleep(MILLISECOND).await;
    let mut seen = Vec::new();
    loop {
        match link.answer().await {
            Seen::End => break,
            frame => seen.push(frame),
        }
    }
    let last = Seen::GoAway(4, GoAwayReason::Protocol);
    assert!(seen.contains(&last), "{seen:?}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_link_does_not_wait_until_the_client_has_closed_the_older_one() {
    let world = world().await;
    let (mut older, _) = world.open_of(1).await;
    older.send(&[VIOLATION]).await;
    let ended = older.answer().await;
    assert_eq!(ended, Seen::GoAway(0, GoAwayReason::Protocol));
    let mut newer = world.connect(&hello(1, 2)).await;
    let soon = world.environment.timeout(100 * MILLISECOND, newer.read());
    assert!(matches!(soon.await, Some(Seen::Hello(_))));
    drop((older, newer));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_link_ends_with_its_client_and_not_before() {
    let world = world().await;
    let mut queue = world.house.queue("slow");
    let mut handled = Vec::new();
    let mut links = Vec::new();
    for client in 1..=2 {
        let (mut older, _) = world.open_of(client).await;
        let slow = RequestFrame {
            time_left_ms: 60_000,
            ..request(3, "slow", b"")
        };
        older.send(&[LinkFrame::Request(slow)]).await;
        handled.push(queue.recv().await.unwrap());
        let mut newer = world.connect(&hello(client, 2)).await;
        assert!(matches!(newer.read().await, Seen::Hello(_)));
        let replaced = Seen::GoAway(3, GoAwayReason::Replaced);
        assert_eq!(older.answer().await, replaced);
        links.push((older, newer));
    }
    let (gone, _newer) = links.remove(0);
    drop(gone);
    let mut abandoned = handled.remove(0);
    let soon = world
        .environment
        .timeout(100 * MILLISECOND, abandoned.abandoned());
    assert!(soon.await.is_some());
    let (mut older, _newer) = links.remove(0);
    world.environment.sleep(30 * SECOND).await;
    handled.remove(0).respond(EchoMsg::default()).unwrap();
    assert_eq!(older.answer().await, Seen::Reply(3, 0));
    assert_eq!(older.answer().await, Seen::End);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_last_word_has_no_greater_number() {
    let world = world().await;
    let mut queue = world.house.queue("slow");
    let (mut link, _) = world.open_of(1).await;
    link.send(&[LinkFrame::Request(request(7, "slow", b""))])
        .await;
    let _handled = queue.recv().await.unwrap();
    let reads = async {
        assert_eq!(link.answer().await, Seen::GoAway(7, GoAwayReason::Shutdown));
        link.send(&[LinkFrame::Request(request(8, "slow", b"")), VIOLATION])
            .await;
        assert_eq!(link.answer().await, Seen::GoAway(7, GoAwayReason::Protocol));
        drop(link);
    };
    tokio::join!(world.end(), reads);
}

/// A request that is answered by a [`Lie`].
struct Ask;

/// A message whose encoding is not what it says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    Short,
    Long,
    Clears,
    Panics,
    HasNoName,
}

impl Message for Ask {
    type Reply = Lie;
    const WIRE_NAME: &'static str = EchoMsg::WIRE_NAME;

    fn encoded_len(&self) -> usize {
        0
    }

    fn encode(&self, _buffer: &mut BytesMut) {}

    fn decode(_wire_name: &str, _bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

impl Message for Lie {
    type Reply = Self;
    const WIRE_NAME: &'static str = "Lie";

    fn wire_name(&self) -> &str {
        match self {
            Self::HasNoName => panic!("no name"),
            _ => Self::WIRE_NAME,
        }
    }

    fn encoded_len(&self) -> usize {
        10
    }

    fn encode(&self, buffer: &mut BytesMut) {
        match self {
            Self::Short => buffer.extend_from_slice(b"short"),
            Self::Long => buffer.extend_from_slice(&[0; 10_000]),
            Self::Clears => buffer.clear(),
            Self::Panics => panic!("no bytes"),
            Self::HasNoName => buffer.extend_from_slice(&[0; 10]),
        }
    }

    fn decode(_wire_name: &str, _bytes: Bytes) -> Result<Self, DecodeError> {
        Err(DecodeError::new("not needed"))
    }
}

async fn with_liar(lie: Lie) -> (LinkWorld, RawLink) {
    let world = world().await;
    world.house.open("liar", move |incoming| {
        if let Some(request) = Request::<Ask>::receive(incoming) {
            let _ = request.respond(lie);
        }
        Ok(())
    });
    let (mut link, _) = world.open_of(1).await;
    link.send(&[
        LinkFrame::Request(request(1, "echo", b"\x0a\x02hi")),
        LinkFrame::Request(request(2, "liar", b"")),
        LinkFrame::Request(request(3, "echo", b"\x0a\x02hi")),
    ])
    .await;
    (world, link)
}

#[tokio::test(start_paused = true)]
async fn a_reply_whose_encoding_is_not_what_it_says_is_an_error_and_harms_no_other() {
    for lie in [Lie::Short, Lie::Long, Lie::Panics, Lie::HasNoName] {
        let (world, mut link) = with_liar(lie).await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            let soon = world.environment.timeout(SECOND, link.answer());
            seen.push(soon.await.expect("each has a terminal frame"));
        }
        for expected in [
            Seen::Reply(1, 4),
            Seen::Error(2, Kind::NoReply, Executed::Maybe),
            Seen::Reply(3, 4),
        ] {
            assert!(
                seen.contains(&expected),
                "{expected:?} in {seen:?}, {lie:?}"
            );
        }
        drop(link);
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_removes_those_of_others_ends_the_link() {
    let (world, mut link) = with_liar(Lie::Clears).await;
    loop {
        match link.answer().await {
            Seen::End => break,
            seen => assert!(!matches!(seen, Seen::Reply(2, _)), "{seen:?}"),
        }
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn chunks_that_belong_to_no_request_are_a_flood() {
    let world = world().await;
    let (mut link, _) = world.open_of(1).await;
    link.send(&[LinkFrame::Request(request(1, "echo", b""))])
        .await;
    assert_eq!(link.answer().await, Seen::Reply(1, 0));
    let chunk = encoded(&LinkFrame::Chunk(ChunkFrame {
        sequence: 1,
        is_last: false,
        bytes: b"x",
    }));
    let chunks = chunk.repeat(4000);
    let ended = link.flood(&world.environment, &chunks, 150).await;
    assert_eq!(ended, Some(GoAwayReason::Flood));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_cancelled_again_and_again_is_a_flood() {
    let world = world().await;
    let mut queue = world.house.queue("slow");
    let (mut link, _) = world.open_of(1).await;
    link.send(&[LinkFrame::Request(request(1, "slow", b""))])
        .await;
    let _handled = queue.recv().await.unwrap();
    let cancel = encoded(&LinkFrame::Cancel(CancelFrame { sequence: 1 }));
    let cancels = cancel.repeat(4000);
    let ended = link.flood(&world.environment, &cancels, 50).await;
    assert_eq!(ended, Some(GoAwayReason::Flood));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn each_request_may_be_cancelled_once_however_late() {
    const ROUNDS: u32 = 40;
    const REQUESTS: u64 = 1000;
    let world = world().await;
    let (mut link, _) = world.open_of(1).await;
    let began = world.environment.now();
    for round in 0..u64::from(ROUNDS) {
        let numbers = || 1 + round * REQUESTS..=(1 + round) * REQUESTS;
        let requests: Vec<_> = numbers()
            .map(|number| LinkFrame::Request(request(number, "echo", b"")))
            .collect();
        link.send(&requests).await;
        for _ in numbers() {
            assert!(matches!(link.answer().await, Seen::Reply(_, 0)));
        }
        // Meanwhile the server forgets them.
        world.environment.sleep(20 * MILLISECOND).await;
        let cancels: Vec<_> = numbers()
            .map(|sequence| LinkFrame::Cancel(CancelFrame { sequence }))
            .collect();
        link.send(&cancels).await;
    }
    let took = world.environment.now().since(began);
    assert!(took < ROUNDS * 20 * MILLISECOND + SECOND / 10, "{took:?}");
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_tickets_are_charged() {
    let limits = BudgetLimits {
        total: 8 * 1024 * 1024,
        per_connection: 4 * 1024 * 1024,
    };
    let bounds = WireBounds {
        received: limits,
        ..WireBounds::default()
    };
    let world = LinkWorld::with(bounds, 1024 * 1024).await;
    let mut headers = Headers::default();
    headers.add("x", &"h".repeat(8_000)).unwrap();
    let mut links = Vec::new();
    for client in 1..=8 {
        let (mut link, limits) = world.open_of(client).await;
        for sequence in 1..=limits.credit_bytes * 3 / 4 / 8_200 {
            let large = RequestFrame {
                headers: HeaderFields::of(Some(&headers)),
                content: FrameContent::Chunked { bytes: 1024 * 1024 },
                time_left_ms: 3_600_000,
                ..request(sequence, "echo", b"")
            };
            link.send(&[LinkFrame::Request(large)]).await;
        }
        links.push(link);
    }
    world.environment.sleep(10 * MILLISECOND).await;
    assert!(world.server.gauges().counters.no_room.get() > 0);
    drop(links);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_frame_is_charged_and_does_not_stay_without_room() {
    let limits = BudgetLimits {
        total: 100_000,
        per_connection: 100_000,
    };
    let bounds = WireBounds {
        received: limits,
        ..WireBounds::default()
    };
    let world = LinkWorld::with(bounds, 1000).await;
    let frame = encoded(&LinkFrame::Request(request(1, "echo", &[0; 60_000])));
    let (mut first, _) = world.open_of(1).await;
    first.send_bytes(&frame[..50_000]).await;
    world.environment.sleep(MILLISECOND).await;
    let arriving = usize::try_from(world.server.gauges().held().arriving).unwrap();
    assert_eq!(arriving, frame.len());
    let (mut second, _) = world.open_of(2).await;
    second.send_bytes(&frame[..50_000]).await;
    let began = world.environment.now();
    let seen = world.environment.timeout(11 * SECOND, second.read());
    assert_eq!(seen.await, Some(Seen::GoAway(0, GoAwayReason::Crowded)));
    let took = world.environment.now().since(began);
    assert!(took > 4 * SECOND, "{took:?}");
    first.send_bytes(&frame[50_000..]).await;
    assert!(matches!(
        first.answer().await,
        Seen::Error(1, Kind::MessageTooLarge, _)
    ));
    assert_eq!(world.server.gauges().held().arriving, 0);
    drop((first, second));
    world.end().await;
}
