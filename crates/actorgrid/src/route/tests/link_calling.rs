//! The calling side of links, as a server with frames written by hand sees it.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::link::{Calling, INCARNATION, calling, linked, sending};
use crate::address::Address;
use crate::environment::{Environment, Listener, Simulation, Socket};
use crate::error::{Executed, RequestError, RequestErrorKind as Kind};
use crate::message::{DecodeError, EchoMsg, Message, Payload};
use crate::route::calling::{PeerRoute, Pool};
use crate::route::conformance::{call, pool};
use crate::route::link::{
    Decoded, Decoder, FrameContent, GREETING, GoAwayFrame, GoAwayReason, HelloFrame, HelloLimits,
    InternLimits, LINK_VERSIONS, LinkFrame, LinkSide, MAX_TYPE_BYTES, PingFrame, ReplyFrame,
    TextReference,
};

/// The common part of the wire name and the body of an `EchoMsg`.
const ECHO: &str = "github.com/lytics/grid/v3/EchoMsg";

/// A request, as far as tests look at it.
#[derive(Debug, PartialEq)]
struct SeenRequest {
    sequence: u64,
    is_from_handler: bool,
    text: String,
}

/// The peer's end of a link.
struct RawPeer {
    socket: Socket,
    decoder: Decoder,
    buffer: BytesMut,
}

impl RawPeer {
    /// Accepts a link, and states these limits.
    async fn accept(listener: &mut Listener, limits: HelloLimits) -> Self {
        let mut socket = listener.accept().await.unwrap();
        let mut greeting = [0; GREETING.len()];
        socket.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, GREETING);
        let mut peer = Self {
            socket,
            decoder: Decoder::new(LinkSide::Client),
            buffer: BytesMut::new(),
        };
        peer.frame(|frame| matches!(frame, LinkFrame::Hello(_)).then_some(()))
            .await
            .unwrap();
        let hello = HelloFrame {
            versions: LINK_VERSIONS,
            features: 0,
            required: 0,
            incarnation: INCARNATION,
            client: None,
            limits,
            namespace: "test",
        };
        peer.send(&LinkFrame::Hello(hello)).await;
        peer
    }

    async fn send(&mut self, frame: &LinkFrame<'_>) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes).unwrap();
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// The next frame that is looked for. None if there is none.
    async fn frame<T>(&mut self, look: impl Fn(&LinkFrame<'_>) -> Option<T>) -> Option<T> {
        loop {
            while let Decoded::Frame { frame, bytes } = self.decoder.decode(&self.buffer).unwrap() {
                let found = look(&frame);
                self.buffer.advance(bytes);
                if found.is_some() {
                    return found;
                }
            }
            match self.socket.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    async fn request(&mut self) -> Option<SeenRequest> {
        self.frame(|frame| {
            let LinkFrame::Request(request) = frame else {
                return None;
            };
            let FrameContent::Whole(body) = request.content else {
                return None;
            };
            let body = Bytes::copy_from_slice(body);
            Some(SeenRequest {
                sequence: request.sequence,
                is_from_handler: request.is_from_handler,
                text: EchoMsg::decode(ECHO, body).unwrap().msg,
            })
        })
        .await
    }

    async fn reply(&mut self, sequence: u64) {
        self.send(&LinkFrame::Reply(ReplyFrame {
            sequence,
            message_type: TextReference::Inline(ECHO),
            content: FrameContent::Whole(&[]),
        }))
        .await;
    }

    async fn go_away(&mut self, last_sequence: u64, reason: GoAwayReason) {
        self.send(&LinkFrame::GoAway(GoAwayFrame {
            last_sequence,
            reason,
            text: "",
        }))
        .await;
    }
}

fn limits(credit_requests: u32) -> HelloLimits {
    HelloLimits {
        max_message_bytes: 100_000,
        credit_bytes: 16 * 1024 * 1024,
        credit_requests,
        max_unanswered: 10_000,
        names: InternLimits::default(),
        types: InternLimits::default(),
    }
}

struct RawWorld {
    environment: Environment,
    listener: Listener,
    pool: Pool,
    route: PeerRoute,
}

impl RawWorld {
    async fn new() -> Self {
        let environment = Simulation::new(1).environment();
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = environment.listen(any).await.unwrap();
        let address: Address = listener.local_addr().unwrap().try_into().unwrap();
        let pool = pool(&environment);
        Self {
            route: linked(&pool, &address),
            environment,
            listener,
            pool,
        }
    }

    /// The link that calls have asked for.
    async fn accept(&mut self, credit_requests: u32) -> RawPeer {
        RawPeer::accept(&mut self.listener, limits(credit_requests)).await
    }

    fn spawn(&self, call: Calling) -> tokio::task::JoinHandle<Answered> {
        self.environment.spawn(async move {
            let (call, answer) = call.await;
            (call.executed, answer.err())
        })
    }
}

/// Whether a call was executed, and its error.
type Answered = (Executed, Option<RequestError>);

fn from_handler(route: &PeerRoute, receiver: &str, text: &str) -> Calling {
    let mut call = call(receiver, EchoMsg::new(text));
    call.from_handler = true;
    sending(route, call)
}

/// The kind of an error of a call that was certainly not executed.
fn refused((executed, error): Answered) -> Kind {
    let error = error.unwrap();
    assert_eq!((executed, error.executed()), (Executed::No, Executed::No));
    error.kind()
}

const SOON: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn a_call_from_a_handler_goes_while_others_wait_for_credit() {
    let mut world = RawWorld::new().await;
    for number in 0..4 {
        world.spawn(calling(&world.route, "a", &number.to_string()));
    }
    let mut peer = world.accept(4).await;
    for number in 0..3 {
        assert_eq!(peer.request().await.unwrap().text, number.to_string());
    }
    world.spawn(from_handler(&world.route, "a", "urgent"));
    let request = world.environment.timeout(SOON, peer.request()).await;
    let request = request.expect("it waits with the others").unwrap();
    assert!(request.is_from_handler && request.text == "urgent");
    world.pool.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_and_does_not_read_costs_little_and_is_given_up() {
    const FLOOD_BYTES: usize = 4 * 1024 * 1024;
    let mut world = RawWorld::new().await;
    let call = world.spawn(calling(&world.route, "a", "x"));
    let mut peer = world.accept(4).await;
    let request = peer.request().await.unwrap();
    peer.reply(request.sequence).await;
    assert!(call.await.unwrap().1.is_none());
    let mut pings = BytesMut::new();
    for _ in 0..100 {
        let ping = LinkFrame::Ping(PingFrame([7; 8]));
        ping.encode(&mut pings).unwrap();
    }
    let began = world.environment.now();
    let mut sent = 0;
    while sent < FLOOD_BYTES && peer.socket.write_all(&pings).await.is_ok() {
        sent += pings.len();
    }
    assert!(sent < FLOOD_BYTES / 2, "{sent}");
    let took = world.environment.now().since(began);
    assert!(took < Duration::from_secs(6), "{took:?}");
    world.pool.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_had_a_link_and_is_silent_is_unreachable() {
    let mut world = RawWorld::new().await;
    let call = world.spawn(calling(&world.route, "a", "x"));
    let mut peer = world.accept(4).await;
    let request = peer.request().await.unwrap();
    peer.reply(request.sequence).await;
    assert!(call.await.unwrap().1.is_none());
    drop(peer);
    let call = world.spawn(calling(&world.route, "a", "y"));
    let _silent = world.listener.accept().await.unwrap();
    assert_eq!(refused(call.await.unwrap()), Kind::Unreachable);
    let others = kinds_soon(&world.environment, &mut world.listener).await;
    assert_eq!(others, [false; 0], "it was asked over gRPC");
    world.pool.close().await;
}

#[tokio::test(start_paused = true)]
async fn calls_keep_their_order_when_a_link_takes_the_place_of_another() {
    let mut world = RawWorld::new().await;
    let route = world.route.clone();
    let mut peer = None;
    let mut calls: Vec<Option<Calling>> = Vec::new();
    let arrives = |calls: &mut Vec<Option<Calling>>, text: &str| {
        let mut call = calling(&route, "a", text);
        assert!(call.as_mut().now_or_never().is_none());
        calls.push(Some(call));
    };
    for number in 0..10 {
        arrives(&mut calls, &number.to_string());
        if number == 0 {
            // Of four requests at a time, three may be these.
            peer = Some(world.accept(4).await);
            world.environment.sleep(SOON).await;
        }
    }
    let mut peer = peer.unwrap();
    // Others take their places, but not in line.
    for place in [4, 5, 7] {
        calls[place] = None;
    }
    for number in 10..13 {
        arrives(&mut calls, &number.to_string());
    }
    let mut calls: FuturesUnordered<_> = calls.into_iter().flatten().collect();
    // They are polled, in an order of their own.
    assert!(calls.next().now_or_never().is_none());
    let mut sequences = Vec::new();
    for text in ["0", "1", "2"] {
        let request = peer.request().await.unwrap();
        assert_eq!(request.text, text);
        sequences.push(request.sequence);
    }
    // The first one was read, and is answered.
    peer.go_away(sequences[0], GoAwayReason::Idle).await;
    peer.reply(sequences[0]).await;
    world.environment.sleep(SOON).await;
    let newcomer = world.spawn(calling(&world.route, "a", "newcomer"));
    world.environment.sleep(SOON).await;
    let serves = async {
        let mut peer = world.accept(100).await;
        let mut arrived = Vec::new();
        while arrived.len() < 10 {
            let request = peer.request().await.unwrap();
            peer.reply(request.sequence).await;
            arrived.push(request.text);
        }
        // Until the pool is closed.
        (arrived, peer)
    };
    let answers = calls.map(|(_, answer)| answer.is_ok()).collect::<Vec<_>>();
    let ((arrived, _peer), answers) = tokio::join!(serves, answers);
    let expected = ["1", "2", "3", "6", "8", "9", "10", "11", "12", "newcomer"];
    assert_eq!(arrived, expected);
    assert_eq!(answers, [true; 10]);
    assert!(newcomer.await.unwrap().1.is_none());
    world.pool.close().await;
}

/// A message whose encoding is not as it says.
struct Liar(fn(&mut BytesMut));

impl Message for Liar {
    type Reply = EchoMsg;
    const WIRE_NAME: &'static str = ECHO;

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, buffer: &mut BytesMut) {
        self.0(buffer);
    }

    fn decode(_: &str, _: Bytes) -> Result<Self, DecodeError> {
        Ok(Self(BytesMut::clear))
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_of_another_length_than_it_says_is_not_sent_and_others_are() {
    let mut world = RawWorld::new().await;
    let before = world.spawn(calling(&world.route, "a", "before"));
    let mut peer = world.accept(100).await;
    let before_request = peer.request().await.unwrap();
    let lies: [fn(&mut BytesMut); 2] = [
        |buffer| buffer.extend_from_slice(b"\x0a\x03hey"),
        |buffer| buffer.extend_from_slice(b"\x0a\x01h"),
    ];
    for lie in lies {
        let lying = world.spawn(sending(&world.route, call("a", Liar(lie))));
        assert_eq!(refused(lying.await.unwrap()), Kind::InvalidMessage);
    }
    let after = world.spawn(calling(&world.route, "a", "after"));
    let request = peer.request().await.unwrap();
    assert_eq!(request.text, "after");
    for sequence in [before_request.sequence, request.sequence] {
        peer.reply(sequence).await;
    }
    for call in [before, after] {
        assert!(call.await.unwrap().1.is_none());
    }
    world.pool.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fits_into_no_frame_fails_and_others_do_not() {
    let mut world = RawWorld::new().await;
    let before = world.spawn(calling(&world.route, "a", "before"));
    let mut peer = world.accept(100).await;
    let before_request = peer.request().await.unwrap();
    let name = "x".repeat(MAX_TYPE_BYTES + 1);
    let misnamed = world.spawn(sending(&world.route, call("a", Payload::new(name, ""))));
    assert_eq!(refused(misnamed.await.unwrap()), Kind::InvalidMessage);
    let after = world.spawn(calling(&world.route, "a", "after"));
    let request = peer.request().await.unwrap();
    assert_eq!(request.text, "after");
    for sequence in [before_request.sequence, request.sequence] {
        peer.reply(sequence).await;
    }
    for call in [before, after] {
        assert!(call.await.unwrap().1.is_none());
    }
    world.pool.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_destroys_frames_of_others_ends_the_link_and_nothing_else() {
    let mut world = RawWorld::new().await;
    let before = world.spawn(calling(&world.route, "a", "before"));
    let mut peer = world.accept(100).await;
    peer.request().await.unwrap();
    // Both before the link's task runs.
    let mut lost = calling(&world.route, "a", "lost");
    assert!(lost.as_mut().now_or_never().is_none());
    let (_, lying) = sending(&world.route, call("a", Liar(BytesMut::clear))).await;
    assert_eq!(lying.unwrap_err().kind(), Kind::InvalidMessage);
    let (executed, error) = before.await.unwrap();
    assert_eq!(
        (executed, error.unwrap().kind()),
        (Executed::Maybe, Kind::ConnectionLost)
    );
    assert!(peer.request().await.is_none());
    let lost = world.spawn(lost);
    let mut peer = world.accept(100).await;
    let request = peer.request().await.unwrap();
    assert_eq!(request.text, "lost");
    peer.reply(request.sequence).await;
    assert!(lost.await.unwrap().1.is_none());
    world.pool.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_frozen_is_noticed_within_three_seconds() {
    for count in [1, 1000] {
        let mut world = RawWorld::new().await;
        let text = "x".repeat(1024);
        let calls = (0..count).map(|_| world.spawn(calling(&world.route, "a", &text)));
        let calls: Vec<_> = calls.collect();
        let mut peer = world.accept(2000).await;
        if count > 1 {
            // So much more is written after it was heard last than a socket takes.
            let mut read = vec![0; 32 * 1024];
            peer.socket.read_exact(&mut read).await.unwrap();
        }
        let began = world.environment.now();
        for answered in join_all(calls).await {
            let (executed, error) = answered.unwrap();
            // A request that was not written yet was certainly not executed.
            let expected = match executed {
                Executed::No if count > 1 => Kind::Unreachable,
                _ => Kind::ConnectionLost,
            };
            assert_eq!(error.unwrap().kind(), expected);
        }
        let took = world.environment.now().since(began);
        assert!(
            took > Duration::from_secs(2) && took < Duration::from_secs(3),
            "{took:?}"
        );
        world.pool.close().await;
    }
}

/// The place of a request among the calls of its link: the low bits of its number.
const fn place(request: &SeenRequest) -> u64 {
    request.sequence & 0xffff
}

#[tokio::test(start_paused = true)]
async fn the_places_of_a_burst_are_given_back_when_nothing_happens() {
    const BURST: usize = 500;
    let mut world = RawWorld::new().await;
    let calls = (0..BURST).map(|_| world.spawn(calling(&world.route, "a", "x")));
    let calls: Vec<_> = calls.collect();
    let mut peer = world.accept(1000).await;
    let mut sequences = Vec::new();
    for _ in 0..BURST {
        sequences.push(peer.request().await.unwrap().sequence);
    }
    for sequence in sequences {
        peer.reply(sequence).await;
    }
    for answered in join_all(calls).await {
        assert!(answered.unwrap().1.is_none());
    }
    for (idle, is_first) in [(Duration::ZERO, false), (Duration::from_secs(1), true)] {
        world.environment.sleep(idle).await;
        let call = world.spawn(calling(&world.route, "a", "x"));
        let request = peer.request().await.unwrap();
        assert_eq!(place(&request) == 0, is_first, "{request:?}");
        peer.reply(request.sequence).await;
        assert!(call.await.unwrap().1.is_none());
    }
    world.pool.close().await;
}

/// Whether the next connection is for gRPC.
async fn is_grpc(listener: &mut Listener) -> bool {
    let mut socket = listener.accept().await.unwrap();
    let mut first = [0; 1];
    let _ = socket.read(&mut first).await;
    !GREETING.starts_with(&first)
}

/// The same of all connections that come soon.
async fn kinds_soon(environment: &Environment, listener: &mut Listener) -> Vec<bool> {
    let mut kinds = Vec::new();
    while let Some(kind) = environment.timeout(SOON, is_grpc(listener)).await {
        kinds.push(kind);
    }
    kinds
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_understand_frames_is_reached_over_grpc_for_a_while() {
    let mut world = RawWorld::new().await;
    let call = world.spawn(calling(&world.route, "a", "x"));
    let mut peer = world.accept(4).await;
    peer.request().await.unwrap();
    peer.go_away(0, GoAwayReason::Protocol).await;
    assert!(
        is_grpc(&mut world.listener).await,
        "it did not read the request"
    );
    drop(peer);
    let _ = call.await;
    let later = world.spawn(calling(&world.route, "a", "y"));
    assert!(
        is_grpc(&mut world.listener).await,
        "a later one goes the same way"
    );
    let _ = later.await;
    world.environment.sleep(Duration::from_secs(60)).await;
    let kinds = kinds_soon(&world.environment, &mut world.listener).await;
    assert!(
        kinds.iter().all(|is_grpc| *is_grpc),
        "connections of before"
    );
    let call = world.spawn(calling(&world.route, "a", "z"));
    let kinds = kinds_soon(&world.environment, &mut world.listener).await;
    assert!(kinds.contains(&false), "the link is tried again");
    assert!(kinds.contains(&true), "the call does not wait for it");
    let _ = call.await;
    world.pool.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_room_is_left_alone_for_a_second() {
    let mut world = RawWorld::new().await;
    let call = world.spawn(calling(&world.route, "a", "x"));
    let mut peer = world.accept(4).await;
    peer.request().await.unwrap();
    peer.go_away(0, GoAwayReason::Crowded).await;
    assert_eq!(refused(call.await.unwrap()), Kind::Unreachable);
    let RawWorld {
        environment,
        mut listener,
        pool,
        route,
    } = world;
    let began = environment.now();
    let again = async {
        loop {
            let (_, answer) = calling(&route, "a", "x").await;
            assert_eq!(answer.unwrap_err().kind(), Kind::Unreachable);
            environment.sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        biased;
        _peer = RawPeer::accept(&mut listener, limits(4)) => {}
        () = again => {}
    }
    let took = environment.now().since(began);
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(2));
    pool.close().await;
}
