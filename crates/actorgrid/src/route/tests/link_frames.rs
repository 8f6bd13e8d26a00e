//! A served link, as a client with frames written by hand sees it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::address::Address;
use crate::environment::{Environment, Simulation, Socket};
use crate::error::{Executed, RequestErrorKind as Kind};
use crate::message::EchoMsg;
use crate::registry::Incarnation;
use crate::route::Incoming;
use crate::route::conformance::{House, LIMIT, namespace, serve_with};
use crate::route::link::{
    CancelFrame, ChunkFrame, ClientIdentity, CreditFrame, Decoded, Decoder, FrameContent, GREETING,
    GoAwayReason, HeaderFields, HelloFrame, HelloLimits, InternLimits, InternedId, LINK_VERSIONS,
    LinkFrame, LinkSide, PingFrame, RequestFrame, TextReference,
};
use crate::route::meta::RequestId;
use crate::route::serving::{ProcessServer, ServerConfig, WireBounds};
use crate::token::Token;

/// A frame of the server, as far as tests look at it.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    Hello(HelloLimits),
    Reply(u64, usize),
    Chunk(u64, bool),
    Error(u64, Kind, Executed),
    Credit(u32, u64),
    Ticket(u64, u64),
    Pong([u8; 8]),
    GoAway(u64, GoAwayReason),
    End,
}

pub(super) struct RawLink<S = Socket> {
    socket: S,
    decoder: Decoder,
    buffer: BytesMut,
}

impl RawLink {
    pub(super) async fn send(&mut self, frames: &[LinkFrame<'_>]) {
        let mut bytes = BytesMut::new();
        for frame in frames {
            frame.encode(&mut bytes).unwrap();
        }
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// Sends bytes that are not a whole frame.
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// Sends these bytes so many times, and returns the reason for which the server ends the link;
    /// none if it does not within a minute.
    pub(super) async fn flood(
        self,
        environment: &Environment,
        bytes: &[u8],
        times: usize,
    ) -> Option<GoAwayReason> {
        let (reader, mut writer) = tokio::io::split(self.socket);
        let mut link = RawLink {
            socket: reader,
            decoder: self.decoder,
            buffer: self.buffer,
        };
        let writing = async {
            for _ in 0..times {
                if writer.write_all(bytes).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let reading = async {
            loop {
                match link.read().await {
                    Seen::GoAway(_, reason) => return Some(reason),
                    Seen::End => return None,
                    _ => {}
                }
            }
        };
        let flooding = async {
            tokio::select! {
                () = writing => None,
                reason = reading => reason,
            }
        };
        let minute = Duration::from_secs(60);
        environment.timeout(minute, flooding).await.flatten()
    }
}

impl<S: AsyncRead + Unpin> RawLink<S> {
    /// The next frame.
    pub(super) async fn read(&mut self) -> Seen {
        loop {
            if let Decoded::Frame { frame, bytes } = self.decoder.decode(&self.buffer).unwrap() {
                let seen = seen(&frame);
                self.buffer.advance(bytes);
                return seen;
            }
            match self.socket.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                _ => return Seen::End,
            }
        }
    }

    /// The next frame that is no credit.
    pub(super) async fn answer(&mut self) -> Seen {
        loop {
            match self.read().await {
                Seen::Credit(..) => {}
                seen => return seen,
            }
        }
    }
}

fn seen(frame: &LinkFrame<'_>) -> Seen {
    match frame {
        LinkFrame::Hello(hello) => Seen::Hello(hello.limits),
        LinkFrame::Reply(reply) => Seen::Reply(reply.sequence, reply.content.message_bytes()),
        LinkFrame::Chunk(chunk) => Seen::Chunk(chunk.sequence, chunk.is_last),
        LinkFrame::Error(error) => Seen::Error(error.sequence, error.kind, error.executed),
        LinkFrame::Credit(CreditFrame::Link { requests, bytes }) => Seen::Credit(*requests, *bytes),
        LinkFrame::Credit(CreditFrame::Ticket { sequence, bytes }) => {
            Seen::Ticket(*sequence, *bytes)
        }
        LinkFrame::Pong(pong) => Seen::Pong(pong.0),
        LinkFrame::GoAway(away) => Seen::GoAway(away.last_sequence, away.reason),
        other => panic!("{other:?}"),
    }
}

pub(super) fn hello(client: u8, generation: u64) -> HelloFrame<'static> {
    HelloFrame {
        versions: LINK_VERSIONS,
        features: 0,
        required: 0,
        incarnation: 0,
        client: Some(ClientIdentity {
            id: [client; 16],
            generation,
        }),
        limits: HelloLimits {
            max_message_bytes: 1024 * 1024,
            credit_bytes: 4 * 1024 * 1024,
            types: InternLimits {
                entries: 4,
                bytes: 400,
            },
            ..HelloLimits::default()
        },
        namespace: "test",
    }
}

pub(super) const TIME_MS: u32 = 5_000;

pub(super) fn request<'a>(sequence: u64, receiver: &'a str, body: &'a [u8]) -> RequestFrame<'a> {
    RequestFrame {
        sequence,
        is_from_handler: false,
        time_left_ms: TIME_MS,
        id: RequestId(sequence.into()),
        token: "1:1".parse::<Token>().unwrap(),
        receiver: TextReference::Inline(receiver),
        message_type: TextReference::Inline("github.com/lytics/grid/v3/EchoMsg"),
        headers: HeaderFields::default(),
        content: FrameContent::Whole(body),
    }
}

pub(super) struct LinkWorld {
    pub(super) environment: Environment,
    pub(super) house: Arc<House>,
    pub(super) server: ProcessServer,
    address: Address,
}

impl LinkWorld {
    async fn new() -> Self {
        Self::with(WireBounds::default(), LIMIT).await
    }

    pub(super) async fn with(bounds: WireBounds, max_message_bytes: usize) -> Self {
        let environment = Simulation::new(1).environment();
        let house: Arc<House> = Arc::default();
        house.echo("echo");
        house.unread("unread");
        let config = ServerConfig {
            namespace: namespace(),
            max_message_bytes,
            bounds,
            incarnation: Some(Incarnation::new(7)),
        };
        let serving = tokio::sync::watch::Sender::new(None).subscribe();
        let (server, address) = serve_with(&environment, &house, 0, serving, config).await;
        Self {
            environment,
            house,
            server,
            address,
        }
    }

    pub(super) async fn connect(&self, hello: &HelloFrame<'_>) -> RawLink {
        let mut socket = self.environment.connect(&self.address).await.unwrap();
        socket.write_all(&GREETING).await.unwrap();
        let mut link = RawLink {
            socket,
            decoder: Decoder::new(LinkSide::Server),
            buffer: BytesMut::new(),
        };
        link.send(&[LinkFrame::Hello(*hello)]).await;
        link
    }

    /// An open link, and what the server states.
    async fn open(&self) -> (RawLink, HelloLimits) {
        self.open_of(1).await
    }

    /// An open link of this client, and what the server states.
    pub(super) async fn open_of(&self, client: u8) -> (RawLink, HelloLimits) {
        let mut link = self.connect(&hello(client, 1)).await;
        let Seen::Hello(limits) = link.read().await else {
            panic!("no Hello");
        };
        (link, limits)
    }

    pub(super) async fn end(self) {
        self.server.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn answers_and_returns_the_credit_of_requests() {
    let world = LinkWorld::new().await;
    let (mut link, limits) = world.open().await;
    assert_eq!(limits.max_message_bytes as usize, LIMIT);
    let body = b"\x0a\x02hi";
    let frame = LinkFrame::Request(request(1, "echo", body));
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes).unwrap();
    link.send(&[frame, LinkFrame::Ping(PingFrame([7; 8]))])
        .await;
    assert_eq!(link.read().await, Seen::Pong([7; 8]));
    assert_eq!(link.read().await, Seen::Reply(1, body.len()));
    assert_eq!(link.read().await, Seen::Credit(1, bytes.len() as u64 - 16));
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_cancelled_or_overdue_leaves_its_queue() {
    let world = LinkWorld::new().await;
    let (mut link, _) = world.open().await;
    link.send(&[
        LinkFrame::Request(request(1, "unread", b"")),
        LinkFrame::Cancel(CancelFrame { sequence: 1 }),
    ])
    .await;
    assert_eq!(
        link.answer().await,
        Seen::Error(1, Kind::NoReply, Executed::No)
    );
    let began = world.environment.now();
    link.send(&[LinkFrame::Request(request(2, "unread", b""))])
        .await;
    let overdue = Seen::Error(2, Kind::DeadlineExceeded, Executed::No);
    assert_eq!(link.answer().await, overdue);
    let took = world.environment.now().since(began);
    let time = Duration::from_millis(TIME_MS.into());
    assert!(
        took >= time && took < time + Duration::from_millis(50),
        "{took:?}"
    );
    // Answered already: nothing happens.
    link.send(&[
        LinkFrame::Cancel(CancelFrame { sequence: 2 }),
        LinkFrame::Request(request(3, "nobody", b"")),
    ])
    .await;
    assert_eq!(
        link.answer().await,
        Seen::Error(3, Kind::NotHeld, Executed::No)
    );
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_large_message_waits_for_its_ticket_and_its_reply_comes_in_chunks() {
    let world = LinkWorld::new().await;
    let (mut link, _) = world.open().await;
    let text = EchoMsg::new("x".repeat(90_000));
    let mut message = BytesMut::new();
    crate::message::Message::encode(&text, &mut message);
    let total = u32::try_from(message.len()).unwrap();
    let large = RequestFrame {
        content: FrameContent::Chunked { bytes: total },
        ..request(5, "echo", b"")
    };
    link.send(&[LinkFrame::Request(large)]).await;
    assert_eq!(link.answer().await, Seen::Ticket(5, total.into()));
    let (first, rest) = message.split_at(66_560);
    for (bytes, is_last) in [(first, false), (rest, true)] {
        link.send(&[LinkFrame::Chunk(ChunkFrame {
            sequence: 5,
            is_last,
            bytes,
        })])
        .await;
    }
    assert_eq!(link.answer().await, Seen::Reply(5, message.len()));
    assert_eq!(link.answer().await, Seen::Chunk(5, false));
    assert_eq!(link.answer().await, Seen::Chunk(5, true));
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_violates_the_protocol_is_disconnected() {
    let world = LinkWorld::new().await;
    let unknown = RequestFrame {
        receiver: TextReference::Interned(InternedId::new(9).unwrap()),
        ..request(1, "", b"")
    };
    let chunk = ChunkFrame {
        sequence: 1,
        is_last: true,
        bytes: b"x",
    };
    let large = RequestFrame {
        content: FrameContent::Chunked { bytes: 70_000 },
        ..request(1, "echo", b"")
    };
    for (frames, reason) in [
        (vec![LinkFrame::Request(unknown)], GoAwayReason::Reference),
        (
            vec![LinkFrame::Request(large), LinkFrame::Chunk(chunk)],
            GoAwayReason::FlowControl,
        ),
        (
            vec![LinkFrame::Cancel(CancelFrame { sequence: 1 })],
            GoAwayReason::Protocol,
        ),
        (
            vec![LinkFrame::Credit(CreditFrame::Link {
                requests: 0,
                bytes: 1,
            })],
            GoAwayReason::FlowControl,
        ),
    ] {
        let (mut link, _) = world.open().await;
        link.send(&frames).await;
        let Seen::GoAway(_, seen) = link.answer().await else {
            panic!("{reason:?}");
        };
        assert_eq!(seen, reason);
        assert_eq!(link.answer().await, Seen::End);
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_sends_more_than_there_is_credit_for_is_disconnected() {
    let world = LinkWorld::new().await;
    let (mut link, limits) = world.open().await;
    let allowed = u64::from(limits.credit_requests) * 3 / 4;
    let requests: Vec<_> = (1..=allowed + 1)
        .map(|sequence| LinkFrame::Request(request(sequence, "unread", b"")))
        .collect();
    link.send(&requests).await;
    assert_eq!(
        link.answer().await,
        Seen::GoAway(allowed + 1, GoAwayReason::FlowControl)
    );
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn too_many_unanswered_requests_are_busy() {
    let world = LinkWorld::new().await;
    // Handed out, and not answered: their credit comes back.
    let mut queue = world.house.queue("slow");
    let (mut link, limits) = world.open().await;
    let allowed = u64::from(limits.max_unanswered) * 3 / 4;
    let requests: Vec<_> = (1..=allowed)
        .map(|sequence| LinkFrame::Request(request(sequence, "slow", b"")))
        .collect();
    link.send(&requests).await;
    let mut returned = 0;
    while returned < limits.credit_requests / 2 {
        if let Seen::Credit(requests, _) = link.read().await {
            returned += requests;
        }
    }
    link.send(&[LinkFrame::Request(request(allowed + 1, "slow", b""))])
        .await;
    let busy = Seen::Error(allowed + 1, Kind::Busy, Executed::No);
    assert_eq!(link.answer().await, busy);
    let from_handler = RequestFrame {
        is_from_handler: true,
        ..request(allowed + 2, "echo", b"")
    };
    link.send(&[LinkFrame::Request(from_handler)]).await;
    assert_eq!(link.answer().await, Seen::Reply(allowed + 2, 0));
    // The end of the link is the end of what is unanswered.
    drop(link);
    let mut first = queue.recv().await.unwrap();
    first.abandoned().await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_behind_one_from_a_handler_use_none_of_what_is_reserved_for_handlers() {
    let bounds = WireBounds {
        max_streams: 4,
        ..WireBounds::default()
    };
    let world = LinkWorld::with(bounds, LIMIT).await;
    let _queue = world.house.queue("slow");
    let (mut link, limits) = world.open().await;
    let allowed = u64::from(limits.max_unanswered) * 3 / 4;
    let requests: Vec<_> = (1..=allowed)
        .map(|sequence| LinkFrame::Request(request(sequence, "slow", b"")))
        .collect();
    link.send(&requests).await;
    let mut returned = 0;
    while returned < allowed {
        if let Seen::Credit(requests, _) = link.read().await {
            returned += u64::from(requests);
        }
    }
    let from_handler = RequestFrame {
        is_from_handler: true,
        ..request(allowed + 1, "slow", b"")
    };
    let behind = [2, 3].map(|number| request(allowed + number, "echo", b""));
    link.send(&[
        LinkFrame::Request(from_handler),
        LinkFrame::Request(behind[0]),
        LinkFrame::Request(behind[1]),
    ])
    .await;
    for request in behind {
        let busy = Seen::Error(request.sequence, Kind::Busy, Executed::No);
        assert_eq!(link.answer().await, busy);
    }
    drop(link);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_link_of_a_client_replaces_the_older_one() {
    let world = LinkWorld::new().await;
    let mut queue = world.house.queue("slow");
    let (mut older, _) = world.open().await;
    older
        .send(&[LinkFrame::Request(request(3, "slow", b""))])
        .await;
    let handled = queue.recv().await.unwrap();
    let mut newer = world.connect(&hello(1, 2)).await;
    assert!(matches!(newer.read().await, Seen::Hello(_)));
    assert_eq!(
        older.answer().await,
        Seen::GoAway(3, GoAwayReason::Replaced)
    );
    // Not read any more.
    older
        .send(&[LinkFrame::Request(request(4, "slow", b""))])
        .await;
    newer
        .send(&[LinkFrame::Request(request(1, "echo", b""))])
        .await;
    assert_eq!(newer.answer().await, Seen::Reply(1, 0));
    handled.respond(EchoMsg::default()).unwrap();
    assert_eq!(older.answer().await, Seen::Reply(3, 0));
    assert_eq!(older.answer().await, Seen::End);
    assert!(queue.try_recv().is_err());
    let mut stale = world.connect(&hello(1, 2)).await;
    assert_eq!(stale.read().await, Seen::GoAway(0, GoAwayReason::Replaced));
    drop(newer);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_link_of_a_client_withdraws_what_the_older_one_has_queued() {
    let world = LinkWorld::new().await;
    let queued = world.house.unread("a");
    let mut handled = world.house.queue("slow");
    let (mut older, _) = world.open().await;
    let large = RequestFrame {
        content: FrameContent::Chunked { bytes: 70_000 },
        ..request(4, "a", b"")
    };
    older
        .send(&[
            LinkFrame::Request(request(1, "a", b"")),
            LinkFrame::Request(request(2, "slow", b"")),
            LinkFrame::Request(request(3, "a", b"")),
            LinkFrame::Request(large),
        ])
        .await;
    let handled = handled.recv().await.unwrap();
    assert_eq!(older.answer().await, Seen::Ticket(4, 70_000));
    let mut newer = world.connect(&hello(1, 2)).await;
    newer
        .send(&[LinkFrame::Request(request(10, "a", b""))])
        .await;
    assert!(matches!(newer.read().await, Seen::Hello(_)));
    let of_newer = |incoming: &Incoming| incoming.meta().id == RequestId(10);
    while !queued.lock().unwrap().iter().any(of_newer) {
        tokio::task::yield_now().await;
    }
    assert!(
        queued.lock().unwrap().iter().all(of_newer),
        "requests of the older link are queued when the newer one has its first one admitted"
    );
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(older.answer().await);
    }
    let withdrawn = |sequence| Seen::Error(sequence, Kind::MailboxClosed, Executed::No);
    for answer in [1, 3, 4].map(withdrawn) {
        assert!(answers.contains(&answer), "{answer:?} in {answers:?}");
    }
    assert!(answers.contains(&Seen::GoAway(4, GoAwayReason::Replaced)));
    // A request that was handed out before goes on.
    handled.respond(EchoMsg::default()).unwrap();
    assert_eq!(older.answer().await, Seen::Reply(2, 0));
    assert_eq!(older.answer().await, Seen::End);
    drop(newer);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn another_grid_and_another_process_are_refused() {
    let world = LinkWorld::new().await;
    assert_eq!(namespace().as_str(), "test");
    for (hello, reason) in [
        (
            HelloFrame {
                namespace: "other",
                ..hello(1, 1)
            },
            GoAwayReason::Namespace,
        ),
        (
            HelloFrame {
                incarnation: 99,
                ..hello(1, 1)
            },
            GoAwayReason::Incarnation,
        ),
    ] {
        let mut link = world.connect(&hello).await;
        assert_eq!(link.read().await, Seen::GoAway(0, reason));
        assert_eq!(link.read().await, Seen::End);
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_answers_what_it_has_read() {
    let world = LinkWorld::new().await;
    let mut queue = world.house.queue("slow");
    let (mut link, _) = world.open().await;
    link.send(&[LinkFrame::Request(request(7, "slow", b""))])
        .await;
    let handled = queue.recv().await.unwrap();
    let ends = world.end();
    let reads = async {
        assert_eq!(link.answer().await, Seen::GoAway(7, GoAwayReason::Shutdown));
        link.send(&[LinkFrame::Request(request(8, "slow", b""))])
            .await;
        handled.respond(EchoMsg::default()).unwrap();
        assert_eq!(link.answer().await, Seen::Reply(7, 0));
        assert_eq!(link.answer().await, Seen::End);
        assert!(queue.try_recv().is_err(), "it was discarded");
    };
    tokio::join!(ends, reads);
}
