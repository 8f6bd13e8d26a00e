//! Clients that exhaust the limits of their links, and the effect on others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::link_frames::{LinkWorld, RawLink, Seen, TIME_MS, hello, request};
use crate::error::{Executed, RequestErrorKind as Kind};
use crate::revision::Revision;
use crate::route::headers::Headers;
use crate::route::link::{
    CancelFrame, ChunkFrame, FrameContent, GoAwayReason, HeaderFields, HelloFrame, HelloLimits,
    InternLimits, LinkFrame, PongFrame, RequestFrame,
};
use crate::route::serving::{BudgetLimits, WireBounds};
use crate::token::{ClusterId, Token};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const SECOND: Duration = Duration::from_secs(1);

fn large(sequence: u64, total: usize) -> RequestFrame<'static> {
    RequestFrame {
        time_left_ms: 3_600_000,
        content: FrameContent::Chunked {
            bytes: u32::try_from(total).unwrap(),
        },
        ..request(sequence, "echo", b"")
    }
}

fn chunk(sequence: u64, bytes: &[u8]) -> LinkFrame<'_> {
    LinkFrame::Chunk(ChunkFrame {
        sequence,
        is_last: false,
        bytes,
    })
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_flooded_leaves_others_their_turns() {
    let world = LinkWorld::with(WireBounds::default(), MIB).await;
    let order: Arc<Mutex<Vec<u64>>> = Arc::default();
    let log = Arc::clone(&order);
    world.house.open("log", move |incoming| {
        log.lock()
            .unwrap()
            .push(incoming.meta().deadline.remaining().as_secs());
        drop(incoming);
        Ok(())
    });
    let (mut flooded, _) = world.open_of(1).await;
    let (mut other, _) = world.open_of(2).await;
    let of = |seconds: u32| {
        LinkFrame::Request(RequestFrame {
            time_left_ms: seconds * 1000 + 500,
            ..request(1, "log", b"")
        })
    };
    // As much as the socket buffers, of which nothing is answered.
    let mut flood = vec![LinkFrame::Pong(PongFrame([0; 8])); 2_500];
    flood.push(of(1));
    flooded.send(&flood).await;
    other.send(&[of(2)]).await;
    assert!(matches!(other.answer().await, Seen::Error(1, ..)));
    assert!(matches!(flooded.answer().await, Seen::Error(1, ..)));
    assert_eq!(*order.lock().unwrap(), [2, 1]);
    drop((flooded, other));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn replies_that_wait_for_credit_count_as_unanswered_and_expire() {
    let bounds = WireBounds {
        max_streams: 4,
        ..WireBounds::default()
    };
    let world = LinkWorld::with(bounds, MIB).await;
    let least = HelloFrame {
        limits: HelloLimits {
            max_message_bytes: 64 * 1024,
            credit_bytes: 64 * 1024 + 83_200,
            ..HelloLimits::default()
        },
        ..hello(1, 1)
    };
    let mut link = world.connect(&least).await;
    let Seen::Hello(limits) = link.read().await else {
        panic!("no Hello");
    };
    let allowed = u64::from(limits.max_unanswered) * 3 / 4;
    let body = [&b"\x0a\xe0\xd4\x03"[..], &[b'x'; 60_000]].concat();
    for sequence in 1..=2 {
        link.send(&[LinkFrame::Request(request(sequence, "echo", &body))])
            .await;
        assert!(matches!(link.answer().await, Seen::Reply(..)));
    }
    let began = world.environment.now();
    let mut busy = 0;
    for sequence in 3..=allowed + 6 {
        link.send(&[LinkFrame::Request(request(sequence, "echo", &body))])
            .await;
        // Its credit comes back, whatever becomes of it.
        loop {
            match link.read().await {
                Seen::Credit(..) => break,
                Seen::Error(of, Kind::Busy, Executed::No) => {
                    assert_eq!(of, sequence);
                    busy += 1;
                }
                seen => panic!("{seen:?}"),
            }
        }
    }
    assert_eq!(busy, 4);
    // Nothing else happens on the link, and their time is over.
    for _ in 0..allowed {
        let lost = link.answer().await;
        assert!(
            matches!(lost, Seen::Error(_, Kind::NoReply, Executed::Yes)),
            "{lost:?}"
        );
    }
    let took = world.environment.now().since(began);
    let time = Duration::from_millis(TIME_MS.into());
    assert!(took < time + SECOND, "{took:?}");
    assert_eq!(world.server.gauges().held().replies, 0);
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn slow_messages_are_given_up_in_favour_of_another_link() {
    // Tickets fill 3.75 MiB in total.
    let little = BudgetLimits {
        total: 4 * MIB,
        per_connection: 4 * MIB,
    };
    let bounds = WireBounds {
        received: little,
        ..WireBounds::default()
    };
    let world = LinkWorld::with(bounds, MIB).await;
    let (mut slow, _) = world.open_of(1).await;
    let total = 900 * KIB;
    let begun = world.environment.now();
    // It takes all tickets that it gets.
    let mut held = 0;
    loop {
        slow.send(&[LinkFrame::Request(large(held + 1, total))])
            .await;
        match world.environment.timeout(SECOND, slow.answer()).await {
            Some(granted) => assert!(matches!(granted, Seen::Ticket(..))),
            None => break,
        }
        held += 1;
    }
    let (mut other, _) = world.open_of(2).await;
    other.send(&[LinkFrame::Request(large(1, total))]).await;
    let bring = async {
        for _ in 0..4 {
            let part = [0; 17 * KIB];
            let parts: Vec<_> = (1..=held).map(|sequence| chunk(sequence, &part)).collect();
            slow.send(&parts).await;
            world.environment.sleep(4 * SECOND).await;
        }
        slow
    };
    let granted = async {
        assert_eq!(other.answer().await, Seen::Ticket(1, total as u64));
        world.environment.now().since(begun)
    };
    let (mut slow, took) = tokio::join!(bring, granted);
    assert!(took < 6 * SECOND, "{took:?}");
    let given_up = slow.answer().await;
    assert!(
        matches!(
            given_up,
            Seen::Error(1, Kind::DeadlineExceeded, Executed::No)
        ),
        "{given_up:?}"
    );
    drop((slow, other));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_tickets_are_charged_for_their_headers() {
    let little = BudgetLimits {
        total: 8 * MIB,
        per_connection: 4 * MIB,
    };
    let bounds = WireBounds {
        received: little,
        ..WireBounds::default()
    };
    let world = LinkWorld::with(bounds, MIB).await;
    let no_room = || world.server.gauges().counters.no_room.get();
    let mut headers = Headers::default();
    headers.add("x", &"h".repeat(8_000)).unwrap();
    let mut links: Vec<RawLink> = Vec::new();
    for client in 1..=8 {
        let (mut link, limits) = world.open_of(client).await;
        let requests = limits.credit_bytes * 3 / 4 / 8_200;
        for sequence in 1..=requests {
            let frame = RequestFrame {
                headers: HeaderFields::of(Some(&headers)),
                ..large(sequence, MIB)
            };
            link.send(&[LinkFrame::Request(frame)]).await;
        }
        links.push(link);
    }
    world.environment.sleep(SECOND / 100).await;
    assert!(no_room() > 0);
    drop(links);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_errors_is_not_read_for_long() {
    let world = LinkWorld::with(WireBounds::default(), MIB).await;
    let (mut link, _) = world.open_of(1).await;
    let mut sent = 0_u64;
    loop {
        let requests: Vec<_> = (1..=10)
            .map(|more| LinkFrame::Request(request(sent + more, "nobody", b"")))
            .collect();
        let sending = link.send(&requests);
        if world.environment.timeout(SECOND, sending).await.is_none() {
            break;
        }
        sent += 10;
    }
    // An error has some 60 bytes, and so much waits, beside what both sockets buffer.
    assert!(sent < 4_000, "{sent}");
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_links_has_fewer_names_remembered_each() {
    let world = LinkWorld::with(WireBounds::default(), MIB).await;
    let (_few, limits) = world.open_of(1).await;
    let bytes = |texts: InternLimits| u64::from(texts.entries) * 32 + u64::from(texts.bytes);
    let each = |limits: HelloLimits| bytes(limits.names) + bytes(limits.types);
    let full = each(limits);
    let mut crowd = Vec::new();
    for generation in 0..400_u64 {
        let mut hello = hello(2, 1);
        if let Some(client) = &mut hello.client {
            client.id[..8].copy_from_slice(&generation.to_le_bytes());
        }
        let mut link = world.connect(&hello).await;
        assert!(matches!(link.read().await, Seen::Hello(_)));
        crowd.push(link);
    }
    let (_last, limits) = world.open_of(3).await;
    let crowded = each(limits);
    assert!(crowded * 10 < full, "{crowded} of {full}");
    assert!(crowded * 4_096 < 256 * MIB as u64, "{crowded}");
    drop(crowd);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_unanswered_on_all_links_are_bounded() {
    let bounds = WireBounds {
        received: BudgetLimits {
            total: 32 * MIB,
            per_connection: 8 * MIB,
        },
        max_streams: 256,
        ..WireBounds::default()
    };
    let world = LinkWorld::with(bounds, MIB).await;
    let queue = world.house.queue("slow");
    let mut links = Vec::new();
    let mut unanswered = 0;
    for client in 1..=10 {
        let (mut link, limits) = world.open_of(client).await;
        for sequence in 1..=u64::from(limits.max_unanswered) * 3 / 4 {
            link.send(&[LinkFrame::Request(request(sequence, "slow", b""))])
                .await;
        }
        links.push(link);
        world.environment.sleep(SECOND / 10).await;
        unanswered = queue.len();
    }
    assert!(unanswered < 10 * 768, "{unanswered}");
    assert!(world.server.gauges().counters.no_room.get() > 0);
    drop((links, queue));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_cancelled_at_once_are_read_slowly() {
    const BATCH: u64 = 1_000;
    let world = LinkWorld::with(WireBounds::default(), MIB).await;
    let (mut link, _) = world.open_of(1).await;
    let begun = world.environment.now();
    for batch in 0..100 {
        let sequences = batch * BATCH + 1..=(batch + 1) * BATCH;
        let frames: Vec<_> = sequences
            .flat_map(|sequence| {
                [
                    LinkFrame::Request(request(sequence, "unread", b"")),
                    LinkFrame::Cancel(CancelFrame { sequence }),
                ]
            })
            .collect();
        link.send(&frames).await;
        for _ in 0..BATCH {
            let cancelled = link.answer().await;
            assert!(matches!(cancelled, Seen::Error(..)), "{cancelled:?}");
        }
    }
    // A burst of 64 Ki is free, then 80,000 a second.
    let took = world.environment.now().since(begun);
    assert!(took > SECOND / 3 && took < SECOND, "{took:?}");
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_requests_are_all_rejected_is_disconnected() {
    const BATCH: u64 = 1_000;
    let world = LinkWorld::with(WireBounds::default(), MIB).await;
    let (mut link, _) = world.open_of(1).await;
    let begun = world.environment.now();
    let mut last = 0;
    let reason = 'all: loop {
        let rejected: Vec<_> = (last + 1..=last + BATCH)
            .map(|sequence| {
                LinkFrame::Request(RequestFrame {
                    token: Token::new(ClusterId(0), Revision::new(0)),
                    ..request(sequence, "echo", b"")
                })
            })
            .collect();
        last += BATCH;
        link.send(&rejected).await;
        for _ in 0..BATCH {
            match link.answer().await {
                Seen::Error(_, Kind::InvalidHeaders, Executed::No) => {}
                Seen::GoAway(_, reason) => break 'all reason,
                seen => panic!("{seen:?}"),
            }
        }
    };
    assert_eq!(reason, GoAwayReason::Flood);
    let took = world.environment.now().since(begun);
    assert!(took > 4 * SECOND && took < 8 * SECOND, "{took:?}");
    drop(link);
    world.end().await;
}
