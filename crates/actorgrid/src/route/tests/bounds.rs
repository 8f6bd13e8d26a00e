//! Clients that exhaust their limits, and the effect on others.

use std::sync::Mutex;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use h2::SendStream;
use h2::client::ResponseFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::*;
use crate::message::Payload;
use crate::request::{MessageSet as _, Request as GridRequest, RespondErrorKind};
use crate::route::Incoming;
use crate::route::conformance::{namespace, serve_with};
use crate::route::serving::{
    BudgetLimits, HeldBytes, ProcessServer, ServerConfig, ServingGauges, WireBounds,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const MAX_MESSAGE: usize = MIB;
/// The largest message whose envelope counts.
const LARGE: usize = MIB - KIB;
const SECOND: Duration = Duration::from_secs(1);

/// Requests that nobody has read.
type Unread = Arc<Mutex<Vec<Incoming>>>;

/// A peer with mailboxes that echo (`a`), hold requests unread (`held`), are full (`full`), and
/// reply with a mebibyte (`large`).
struct Bounded {
    environment: Environment,
    address: Address,
    server: ProcessServer,
    unread: Unread,
    /// Why replies of `large` were not sent, and whether they were returned.
    unsent: Arc<Mutex<Vec<(RespondErrorKind, bool)>>>,
}

impl Bounded {
    /// Starts a peer with 4 MiB per connection, of which tickets fill 3, and 64 MiB in total.
    async fn new() -> Self {
        let limits = BudgetLimits {
            total: 64 * MIB,
            per_connection: 4 * MIB,
        };
        Self::with(WireBounds {
            received: limits,
            replies: limits,
            ..WireBounds::default()
        })
        .await
    }

    async fn with(bounds: WireBounds) -> Self {
        Self::in_environment(Simulation::new(1).environment(), bounds).await
    }

    async fn in_environment(environment: Environment, bounds: WireBounds) -> Self {
        let house: Arc<House> = Arc::default();
        house.open("a", |incoming| {
            let request = GridRequest::<Payload>::receive(incoming).unwrap();
            let payload = request.message().clone();
            let _ = request.respond(payload);
            Ok(())
        });
        let unread = Unread::default();
        let holder = unread.clone();
        house.open("held", move |incoming| {
            holder.lock().unwrap().push(incoming);
            Ok(())
        });
        house.full("full");
        let unsent = Arc::<Mutex<Vec<_>>>::default();
        let failures = unsent.clone();
        house.open("large", move |incoming| {
            let request = GridRequest::<Payload>::receive(incoming).unwrap();
            if let Err(error) = request.respond(Payload::new("large", vec![7; MIB])) {
                let failure = (error.kind(), error.into_reply().is_some());
                failures.lock().unwrap().push(failure);
            }
            Ok(())
        });
        let config = ServerConfig {
            incarnation: None,
            namespace: namespace(),
            max_message_bytes: MAX_MESSAGE,
            bounds,
        };
        let serving = watch::Sender::new(None).subscribe();
        let (server, address) = serve_with(&environment, &house, 0, serving, config).await;
        Self {
            environment,
            address,
            server,
            unread,
            unsent,
        }
    }

    fn gauges(&self) -> ServingGauges {
        self.server.gauges().clone()
    }

    async fn raw(&self) -> Sender {
        raw(&self.environment, &self.address).await
    }

    async fn end(self) {
        self.unread.lock().unwrap().clear();
        self.server.shutdown(SECOND).await;
    }
}

/// Creates a framed request to this mailbox with a message of this many bytes.
fn message(mailbox: &str, bytes: usize) -> Bytes {
    let receiver = format!("{}.mailbox.{mailbox}", namespace());
    all(frame_delivery(&vec![9; bytes].into(), "payload", &receiver))
}

/// Begins a request.
async fn begin(sender: &Sender) -> (ResponseFuture, SendStream<Bytes>) {
    let mut sender = sender.clone().ready().await.unwrap();
    sender.send_request(request(PROCESS_PATH), false).unwrap()
}

/// Sends a whole request, and returns its status and the bytes of its reply.
async fn whole(sender: &Sender, message: Bytes) -> (String, usize) {
    let response = send(sender, request(PROCESS_PATH), Some(message)).await;
    let text = match response.headers().contains_key("grpc-status") {
        true => grpc(response.headers()).1,
        false => String::new(),
    };
    (text, response.body().len())
}

async fn status(response: ResponseFuture) -> String {
    grpc(response.await.unwrap().headers()).1
}

const BUSY: &str = "grid: receiver busy";

fn is_free(held: HeldBytes) -> bool {
    (held.queued, held.arriving, held.replies) == (0, 0, 0)
}

#[tokio::test(start_paused = true)]
async fn stalled_messages_are_abandoned_and_hold_nobody_up() {
    let peer = Bounded::new().await;
    let begun = peer.environment.now();
    let sender = peer.raw().await;
    let large = message("a", LARGE);
    let mut stalled = Vec::new();
    for _ in 0..64 {
        let (response, mut stream) = begin(&sender).await;
        stream.send_data(large.slice(..6), false).unwrap();
        stalled.push((response, stream));
    }
    // Another connection is not held up at all.
    let other = peer.raw().await;
    assert_eq!(whole(&other, large.clone()).await.0, "");
    assert_eq!(peer.environment.now(), begun);
    // Another message on the same connection waits until their time is over.
    assert_eq!(whole(&sender, large).await.0, "");
    assert_eq!(peer.environment.now().since(begun), 5 * SECOND);
    for (response, _stream) in stalled {
        assert_eq!(status(response).await, "grid: context finished");
    }
    assert_eq!(peer.environment.now().since(begun), 5 * SECOND);
    assert_eq!(peer.gauges().counters.slow.get(), 64);
    assert!(is_free(peer.gauges().held()));
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_keeps_coming_is_waited_for() {
    let peer = Bounded::new().await;
    let sender = peer.raw().await;
    let large = message("a", 200 * KIB);
    let (response, mut stream) = begin(&sender).await;
    for part in 0..large.len().div_ceil(16 * KIB) {
        let at = part * 16 * KIB;
        let is_last = at + 16 * KIB >= large.len();
        let part = large.slice(at..large.len().min(at + 16 * KIB));
        stream.send_data(part, is_last).unwrap();
        peer.environment.sleep(4 * SECOND).await;
    }
    assert_eq!(response.await.unwrap().status(), 200);
    // A message that brings half as much is abandoned.
    let (response, mut stream) = begin(&sender).await;
    for part in 0..2 {
        let part = large.slice(part * 8 * KIB..(part + 1) * 8 * KIB);
        stream.send_data(part, false).unwrap();
        peer.environment.sleep(4 * SECOND).await;
    }
    assert_eq!(peer.gauges().counters.slow.get(), 1);
    assert_eq!(status(response).await, "grid: context finished");
    peer.end().await;
}

/// Large messages that arrive as slowly as is allowed.
struct SlowMessages {
    message: Bytes,
    sent: usize,
    requests: Vec<(ResponseFuture, SendStream<Bytes>)>,
}

impl SlowMessages {
    /// Begins three: as many as may arrive at a time on a connection.
    async fn begin(sender: &Sender) -> Self {
        let mut requests = Vec::new();
        for _ in 0..3 {
            requests.push(begin(sender).await);
        }
        let mut slow = Self {
            message: message("a", LARGE),
            sent: 0,
            requests,
        };
        slow.send_part();
        slow
    }

    /// Sends the next part of each message that was not abandoned.
    fn send_part(&mut self) {
        let part = self.message.slice(self.sent..self.sent + 16 * KIB);
        self.sent += part.len();
        for (_, stream) in &mut self.requests {
            let _ = stream.send_data(part.clone(), false);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_stalls_while_it_waits_is_abandoned_though_others_arrive() {
    let peer = Bounded::new().await;
    let sender = peer.raw().await;
    let begun = peer.environment.now();
    let mut slow = SlowMessages::begin(&sender).await;
    let (stalled, mut stream) = begin(&sender).await;
    stream
        .send_data(message("a", LARGE).slice(..6), false)
        .unwrap();
    for _ in 0..2 {
        peer.environment.sleep(4 * SECOND).await;
        slow.send_part();
    }
    assert_eq!(status(stalled).await, "grid: context finished");
    assert_eq!(peer.environment.now().since(begun), 8 * SECOND);
    assert_eq!(peer.gauges().counters.slow.get(), 1);
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn slow_messages_are_abandoned_in_favour_of_another_connection() {
    // Tickets fill 3.75 MiB in total.
    let little = BudgetLimits {
        total: 4 * MIB,
        per_connection: 4 * MIB,
    };
    // Others wait for room for the message, or for its reply.
    for replies in [WireBounds::default().replies, little] {
        let peer = Bounded::with(WireBounds {
            received: little,
            replies,
            ..WireBounds::default()
        })
        .await;
        let begun = peer.environment.now();
        let mut slow = SlowMessages::begin(&peer.raw().await).await;
        let other = peer.raw().await;
        let answered = async {
            assert_eq!(whole(&other, message("a", LARGE)).await.0, "");
            peer.environment.now().since(begun)
        };
        let sent = async {
            for _ in 0..4 {
                peer.environment.sleep(4 * SECOND).await;
                slow.send_part();
            }
        };
        assert_eq!(tokio::join!(answered, sent).0, 5 * SECOND);
        for (response, _stream) in slow.requests {
            assert_eq!(status(response).await, "grid: context finished");
        }
        peer.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn large_messages_in_fair_turns_are_all_answered() {
    let peer = Bounded::new().await;
    let sender = peer.raw().await;
    // The client's library sends 16 KiB of each in turn.
    let message = message("a", LARGE);
    let mut answers: FuturesUnordered<_> = (0..80_usize)
        .map(|number| whole(&sender, message.clone()).map(move |answer| (number, answer)))
        .collect();
    for expected in 0..80 {
        let (number, (text, bytes)) = answers.next().await.unwrap();
        assert_eq!(text, "");
        assert!(bytes > LARGE);
        // In order of arrival, three at a time.
        assert!(number.abs_diff(expected) < 3, "{number} after {expected}");
    }
    drop(answers);
    let held = peer.gauges().held();
    assert!(is_free(held));
    assert!(held.received_peak <= 3 * MIB as u64, "{held:?}");
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn queued_bytes_are_bounded_and_more_is_busy() {
    let peer = Bounded::new().await;
    let sender = peer.raw().await;
    let held = message("held", LARGE);
    let mut queued = Vec::new();
    for _ in 0..3 {
        let (response, mut stream) = begin(&sender).await;
        stream.send_data(held.clone(), true).unwrap();
        queued.push((response, stream));
    }
    while peer.unread.lock().unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }
    // Nobody handles any of them, so waiting would not help a fourth one.
    let begun = peer.environment.now();
    let (response, mut stream) = begin(&sender).await;
    stream.send_data(message("held", LARGE), false).unwrap();
    assert_eq!(status(response).await, BUSY);
    let took = peer.environment.now().since(begun);
    assert!(took < Duration::from_millis(100), "{took:?}");
    // The rest is left for small messages, on this connection and on others.
    assert_eq!(whole(&sender, message("a", KIB)).await.0, "");
    let other = peer.raw().await;
    assert_eq!(whole(&other, message("a", LARGE)).await.0, "");
    assert!(peer.gauges().held().queued > 2 * LARGE as u64);
    assert_eq!(peer.gauges().counters.no_room.get(), 1);
    // Bytes that are read are released.
    peer.unread.lock().unwrap().clear();
    assert!(is_free(peer.gauges().held()));
    assert_eq!(whole(&sender, message("a", LARGE)).await.0, "");
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn if_queued_messages_fill_the_budget_the_headers_are_answered_busy() {
    let peer = Bounded::new().await;
    let begun = peer.environment.now();
    let sender = peer.raw().await;
    let mut queued = Vec::new();
    // 64 KiB with its envelope.
    let small = 64 * KIB - (message("held", 0).len() - 5) - 4;
    for _ in 0..64 {
        let (response, mut stream) = begin(&sender).await;
        stream.send_data(message("held", small), true).unwrap();
        queued.push((response, stream));
    }
    while peer.unread.lock().unwrap().len() < 64 {
        tokio::task::yield_now().await;
    }
    // Only the headers of this one have arrived.
    let (response, _stream) = begin(&sender).await;
    assert_eq!(status(response).await, BUSY);
    assert_eq!(peer.environment.now(), begun);
    let other = peer.raw().await;
    assert_eq!(whole(&other, message("a", LARGE)).await.0, "");
    peer.end().await;
}

/// Over TCP: only there do connections have sources.
#[tokio::test]
async fn the_connections_of_a_source_have_half_of_the_bytes_together_unless_it_is_a_proxy() {
    let proxy = "127.0.0.1".parse().unwrap();
    for (proxies, expected) in [(Vec::new(), BUSY), (vec![proxy], "")] {
        let bounds = WireBounds {
            received: BudgetLimits {
                total: 8 * MIB,
                per_connection: 4 * MIB,
            },
            proxies: proxies.into(),
            ..WireBounds::default()
        };
        let peer = Bounded::in_environment(Environment::real(), bounds).await;
        let sender = peer.raw().await;
        let mut queued = Vec::new();
        // 64 KiB with its envelope.
        let small = 64 * KIB - (message("held", 0).len() - 5) - 4;
        for _ in 0..64 {
            let (response, mut stream) = begin(&sender).await;
            stream.send_data(message("held", small), true).unwrap();
            queued.push((response, stream));
        }
        while peer.unread.lock().unwrap().len() < 64 {
            tokio::task::yield_now().await;
        }
        let other = peer.raw().await;
        assert_eq!(whole(&other, message("a", 1)).await.0, expected);
        peer.end().await;
    }
}

#[tokio::test]
async fn a_source_over_tcp_has_half_of_the_connections() {
    let bounds = WireBounds {
        max_connections: 2,
        ..WireBounds::default()
    };
    let peer = Bounded::in_environment(Environment::real(), bounds).await;
    let busy = peer.raw().await;
    let (_response, mut stream) = begin(&busy).await;
    stream.send_data(message("held", 1), true).unwrap();
    while peer.unread.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut refused = peer.environment.connect(&peer.address).await.unwrap();
    let mut bytes = Vec::new();
    refused.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.is_empty(), "it was served");
    assert_eq!(peer.gauges().counters.refused.get(), 1);
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_under_way_are_bounded_and_health_is_reported_all_the_same() {
    // 512 KiB in total: 128 requests of 4 KiB without their headers.
    let limits = BudgetLimits {
        total: MIB,
        per_connection: MIB,
    };
    let peer = Bounded::with(WireBounds {
        received: limits,
        max_streams: 64,
        ..WireBounds::default()
    })
    .await;
    let mut under_way = Vec::new();
    for sender in [peer.raw().await, peer.raw().await] {
        for _ in 0..64 {
            let (response, mut stream) = begin(&sender).await;
            stream.send_data(message("held", 1), true).unwrap();
            under_way.push((sender.clone(), response, stream));
        }
    }
    while peer.unread.lock().unwrap().len() < 120 {
        tokio::task::yield_now().await;
    }
    let sender = peer.raw().await;
    assert_eq!(whole(&sender, message("a", 1)).await.0, BUSY);
    // This one, and one of the 128 because of all the headers.
    assert_eq!(peer.gauges().counters.no_room.get(), 2);
    let live = framed(b"\x0a\x04live");
    let health = send(&sender, request("/grpc.health.v1.Health/Check"), Some(live)).await;
    // The server of this test serves under no session, and reports that.
    assert_eq!(health.body()[..], framed(b"\x08\x02"));
    drop(under_way);
    peer.unread.lock().unwrap().clear();
    while whole(&sender, message("a", 1)).await.0 == BUSY {
        tokio::task::yield_now().await;
    }
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_requests_waits_for_no_timer() {
    let peer = Bounded::new().await;
    let sender = peer.raw().await;
    let begun = peer.environment.now();
    let mut answers: FuturesUnordered<_> = (0..1_000)
        .map(|_| whole(&sender, message("a", 300)))
        .collect();
    while let Some((text, _)) = answers.next().await {
        assert_eq!(text, "");
    }
    assert_eq!(peer.environment.now(), begun);
    drop(answers);
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_the_place_of_a_cancelled_one_waits_for_no_timer() {
    let peer = Bounded::with(WireBounds {
        max_streams: 2,
        ..WireBounds::default()
    })
    .await;
    let mut socket = greeted(&peer).await;
    let begun = peer.environment.now();
    let block = header_block();
    let held = |stream: u32| {
        let data = frame(DATA, 1, stream, &message("held", 1));
        [frame(HEADERS, 4, stream, &block), data].concat()
    };
    let frames = [held(1), held(3)].concat();
    send_frames(&mut socket, [frames].into_iter()).await;
    for stream in (5..100).step_by(2) {
        let cancel = frame(RST_STREAM, 0, stream - 2, &[0, 0, 0, 8]);
        let frames = [cancel, held(stream)].concat();
        let before = peer.unread.lock().unwrap().len();
        send_frames(&mut socket, [frames].into_iter()).await;
        while peer.unread.lock().unwrap().len() == before {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(peer.environment.now(), begun);
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_answers_before_a_large_message_arrives() {
    let peer = Bounded::new().await;
    let sender = peer.raw().await;
    let full = message("full", LARGE);
    let mut stated = request(PROCESS_PATH);
    let receiver = format!("{}.mailbox.full", namespace());
    super::super::codec::metadata::put_receiver(stated.headers_mut(), &receiver);
    let mut ready = sender.clone().ready().await.unwrap();
    let (response, mut stream) = ready.send_request(stated, false).unwrap();
    stream.send_data(full.slice(..100), false).unwrap();
    assert_eq!(status(response).await, BUSY);
    assert_eq!(peer.gauges().held().received_peak, 0);

    // Our own clients state the receiver.
    let pool = pool_with(&peer.environment, MAX_MESSAGE);
    let route = pool.route(&peer.address, Capabilities::ACTORGRID);
    let mut call = call("full", Payload::new("payload", vec![9; MAX_MESSAGE]));
    let error = route.call(&mut call).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (Kind::Busy, Executed::No));
    assert_eq!(peer.gauges().held().received_peak, 0);
    pool.close().await;
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_without_room_is_an_error_marked_executed() {
    let peer = Bounded::new().await;
    let sender = peer.raw().await;
    let mut unread = Vec::new();
    for _ in 0..3 {
        let (response, mut stream) = begin(&sender).await;
        stream.send_data(message("large", 1), true).unwrap();
        // Its body is never read.
        unread.push((response.await.unwrap(), stream));
    }
    assert!(peer.gauges().held().replies >= 3 * MIB as u64);
    let response = send(&sender, request(PROCESS_PATH), Some(message("large", 1))).await;
    let error = status::to_error(&status::of_headers(&mut response.headers().clone()).unwrap());
    let executed = (error.kind(), error.executed());
    assert_eq!(executed, (Kind::NoReply, Executed::Yes));
    // A Go client must not mistake it for a request that was not executed.
    assert_eq!(grpc(response.headers()).1, "grid: no reply");
    assert_eq!(peer.gauges().held().replies_lost, 1);
    let unsent = std::mem::take(&mut *peer.unsent.lock().unwrap());
    assert_eq!(unsent, [(RespondErrorKind::NoRoom, true)]);
    // Others have room.
    let other = peer.raw().await;
    assert!(whole(&other, message("large", 1)).await.1 > MIB);
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_replies_is_busy_before_more_is_executed() {
    let limits = BudgetLimits {
        total: 64 * MIB,
        per_connection: 8 * MIB,
    };
    let peer = Bounded::with(WireBounds {
        received: limits,
        replies: limits,
        ..WireBounds::default()
    })
    .await;
    let sender = peer.raw().await;
    let mut unread = Vec::new();
    for _ in 0..7 {
        let (response, mut stream) = begin(&sender).await;
        stream.send_data(message("large", 1), true).unwrap();
        unread.push((response.await.unwrap(), stream));
    }
    let response = send(&sender, request(PROCESS_PATH), Some(message("a", 1))).await;
    let error = status::to_error(&status::of_headers(&mut response.headers().clone()).unwrap());
    let executed = (error.kind(), error.executed());
    assert_eq!(executed, (Kind::Busy, Executed::No));
    let other = peer.raw().await;
    assert_eq!(whole(&other, message("a", 1)).await.0, "");
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_not_taken_by_its_deadline_is_reset() {
    let peer = Bounded::new().await;
    let sender = peer.raw().await;
    let mut ready = sender.clone().ready().await.unwrap();
    let request = with("grpc-timeout", "3S");
    let (response, mut stream) = ready.send_request(request, false).unwrap();
    stream.send_data(message("large", 1), true).unwrap();
    let mut response = response.await.unwrap();
    assert!(!is_free(peer.gauges().held()));
    peer.environment.sleep(4 * SECOND).await;
    assert!(is_free(peer.gauges().held()));
    assert_eq!(peer.gauges().counters.replies_not_taken.get(), 1);
    let body = response.body_mut();
    let error = loop {
        match body.data().await.unwrap() {
            Ok(data) => body.flow_control().release_capacity(data.len()).unwrap(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn all_replies_that_miss_one_deadline_are_reset() {
    let peer = Bounded::new().await;
    let mut socket = greeted(&peer).await;
    let timeout = [&[0, 12], &b"grpc-timeout"[..], &[2], b"3S"].concat();
    let block = [header_block(), timeout].concat();
    // The client opens no windows.
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let requests = (0..100).flat_map(|number| {
        let stream = 2 * number + 1;
        [
            frame(HEADERS, 4, stream, &block),
            frame(DATA, 1, stream, &message("a", 1)),
        ]
    });
    send_frames(&mut socket, std::iter::once(no_window).chain(requests)).await;
    peer.environment.sleep(2 * SECOND).await;
    assert_eq!(peer.gauges().counters.replies_not_taken.get(), 0);
    peer.environment.sleep(2 * SECOND).await;
    assert_eq!(peer.gauges().counters.replies_not_taken.get(), 100);
    assert!(is_free(peer.gauges().held()));
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn replies_that_wait_for_the_socket_are_reset_at_their_deadline_too() {
    let peer = Bounded::new().await;
    let mut socket = greeted(&peer).await;
    // HTTP/2 lets all replies pass, but the client does not read its socket.
    let window = u32::try_from(MIB).unwrap().to_be_bytes();
    let mut frames = vec![
        frame(SETTINGS, 0, 0, &[&[0, 4], &window[..]].concat()),
        frame(WINDOW_UPDATE, 0, 0, &window),
    ];
    let timeout = [&[0, 12], &b"grpc-timeout"[..], &[2], b"3S"].concat();
    let block = [header_block(), timeout].concat();
    for stream in [1, 3, 5] {
        frames.push(frame(HEADERS, 4, stream, &block));
        frames.push(frame(DATA, 1, stream, &message("held", 1)));
    }
    send_frames(&mut socket, frames.into_iter()).await;
    while peer.unread.lock().unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }
    for incoming in std::mem::take(&mut *peer.unread.lock().unwrap()) {
        let request = GridRequest::<Payload>::receive(incoming).unwrap();
        let reply = Payload::new("large", vec![7; 100 * KIB]);
        request.respond(reply).unwrap();
    }
    peer.environment.sleep(2 * SECOND).await;
    assert!(peer.gauges().held().replies > 300 * KIB as u64);
    peer.environment.sleep(2 * SECOND).await;
    assert_eq!(peer.gauges().counters.replies_not_taken.get(), 3);
    // Part of one reply is on its way into the socket.
    assert!(peer.gauges().held().replies < 110 * KIB as u64);
    peer.end().await;
}

/// Literal headers of a request: `:method`, `:scheme`, `:path`, `:authority`, `content-type`.
fn header_block() -> Vec<u8> {
    let literal = |index: &[u8], value: &str| {
        let length = u8::try_from(value.len()).unwrap();
        [index, &[length], value.as_bytes()].concat()
    };
    [
        vec![0x83, 0x86],
        literal(&[0x04], PROCESS_PATH),
        literal(&[0x01], "peer"),
        literal(&[0x0f, 0x10], "application/grpc"),
    ]
    .concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()];
    [&head.concat(), payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Creates a connection that has sent its preface, and whose client reads everything that arrives.
async fn greeted(peer: &Bounded) -> Socket {
    let mut socket = peer.environment.connect(&peer.address).await.unwrap();
    socket.write_all(PREFACE).await.unwrap();
    let settings = frame(SETTINGS, 0, 0, &[]);
    socket.write_all(&settings).await.unwrap();
    socket
}

/// Writes all frames and a last ping, and waits for its answer.
async fn send_frames(socket: &mut Socket, frames: impl Iterator<Item = Vec<u8>>) {
    let (mut reading, mut writing) = tokio::io::split(socket);
    let write = async {
        for frame in frames {
            writing.write_all(&frame).await.unwrap();
        }
        writing
            .write_all(&frame(PING, 0, 0, b"the last"))
            .await
            .unwrap();
    };
    let read = async {
        let mut bytes = Vec::new();
        while !bytes.windows(8).any(|part| part == b"the last") {
            let mut part = [0; 4096];
            let read = reading.read(&mut part).await.unwrap();
            assert_ne!(read, 0, "the connection was closed");
            bytes.extend_from_slice(&part[..read]);
            let is_old = bytes.len().saturating_sub(read + 8);
            bytes.drain(..is_old);
        }
    };
    tokio::join!(write, read);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_reset_at_once_are_read_slowly_and_leave_nothing() {
    let peer = Bounded::new().await;
    let mut socket = greeted(&peer).await;
    let begun = peer.environment.now();
    let block = header_block();
    let pairs = (0..40_000_u32).map(|number| {
        let stream = 2 * number + 1;
        let headers = frame(HEADERS, 4, stream, &block);
        [headers, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    send_frames(&mut socket, pairs).await;
    // 16,384 are free, and 20,000 a second after them.
    let took = peer.environment.now().since(begun);
    assert!(took > SECOND && took < 2 * SECOND, "{took:?}");
    assert!(is_free(peer.gauges().held()));
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_stays_over_its_pace_is_closed_and_others_go_on() {
    let peer = Bounded::new().await;
    let over_pace = || peer.gauges().counters.over_pace.get();
    let mut socket = greeted(&peer).await;
    let other = peer.raw().await;
    let flood = frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(100);
    let begun = peer.environment.now();
    // Bursts with time between them are no flood.
    for _ in 0..10 {
        send_frames(&mut socket, std::iter::repeat_n(flood.clone(), 180)).await;
        peer.environment.sleep(SECOND).await;
    }
    assert_eq!(over_pace(), 0);

    let before = peer.environment.now();
    assert!(before.since(begun) < 12 * SECOND);
    let (mut reading, mut writing) = tokio::io::split(socket);
    let mut said = Vec::new();
    // It continues long after it was told to stop.
    let write = async {
        while writing.write_all(&flood).await.is_ok() {
            peer.environment.sleep(Duration::from_millis(1)).await;
        }
    };
    let ((), ended) = tokio::join!(write, reading.read_to_end(&mut said));
    let took = peer.environment.now().since(before);
    assert!(took >= 5 * SECOND && took < 8 * SECOND, "{took:?}");
    assert_eq!(over_pace(), 1);
    let calm = frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]);
    let was_told = said.windows(calm.len()).any(|part| part == calm);
    assert!(was_told, "{ended:?}: {said:?}");
    assert_eq!(whole(&other, message("a", 1)).await.0, "");
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn settings_that_change_the_windows_of_many_streams_are_read_slowly() {
    let peer = Bounded::new().await;
    let mut socket = greeted(&peer).await;
    let block = header_block();
    let open = (0..1_000_u32).map(|number| frame(HEADERS, 4, 2 * number + 1, &block));
    send_frames(&mut socket, open).await;
    let begun = peer.environment.now();
    let settings = (0..1_000_u32).map(|number| {
        let size = (65_535 - number % 2).to_be_bytes();
        frame(SETTINGS, 0, 0, &[&[0, 4], &size[..]].concat())
    });
    send_frames(&mut socket, settings).await;
    // Each weighs 254: 258 of them are free, and 315 a second after them. The frames that arrive
    // with the last ones are answered before those are paid for.
    let took = peer.environment.now().since(begun);
    assert!(took > SECOND && took < 3 * SECOND, "{took:?}");
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_accepted_at_a_pace() {
    let peer = Bounded::new().await;
    let begun = peer.environment.now();
    let mut connections = Vec::new();
    for _ in 0..400 {
        connections.push(peer.raw().await);
    }
    let last = connections.last().unwrap();
    assert_eq!(whole(last, message("a", 1)).await.0, "");
    // 4,000 a second, of which 32 may arrive at once.
    let took = peer.environment.now().since(begun);
    assert!(took >= Duration::from_millis(92), "{took:?}");
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let peer = Bounded::new().await;
    let mut socket = peer.environment.connect(&peer.address).await.unwrap();
    let begun = peer.environment.now();
    // It trickles, but never completes the preface.
    socket.write_all(&PREFACE[..10]).await.unwrap();
    let mut bytes = Vec::new();
    // Whatever the server has sent by then, it closes.
    let _ = socket.read_to_end(&mut bytes).await;
    assert_eq!(peer.environment.now().since(begun), 5 * SECOND);
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_closed() {
    let peer = Bounded::new().await;
    let mut socket = greeted(&peer).await;
    let begun = peer.environment.now();
    let pings = async {
        while socket
            .write_all(&frame(PING, 0, 0, b"anything"))
            .await
            .is_ok()
        {}
    };
    let ended = peer.environment.timeout(60 * SECOND, pings).await;
    assert!(ended.is_some(), "it was never closed");
    let took = peer.environment.now().since(begun);
    assert!(took >= 5 * SECOND && took <= 15 * SECOND, "{took:?}");
    assert_eq!(peer.gauges().counters.dead.get(), 1);
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_makes_room_for_another() {
    let peer = Bounded::with(WireBounds {
        max_connections: 3,
        ..WireBounds::default()
    })
    .await;
    let mut first = greeted(&peer).await;
    let mut silent = peer.environment.connect(&peer.address).await.unwrap();
    let busy = peer.raw().await;
    let (response, mut stream) = begin(&busy).await;
    stream.send_data(message("held", 1), true).unwrap();
    // One is idle, one silent, and one busy.
    send_frames(&mut first, std::iter::empty()).await;
    while peer.unread.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let begun = peer.environment.now();
    for _ in 0..2 {
        let new = peer.raw().await;
        assert_eq!(whole(&new, message("a", 1)).await.0, "");
        // It stays open and idle.
        std::mem::forget(new);
    }
    assert_eq!(peer.environment.now(), begun);
    // The silent one was closed first, then the one that was idle longest.
    let mut bytes = Vec::new();
    let closed = silent.read_to_end(&mut bytes).await;
    assert!(closed.is_ok() || closed.is_err());
    first.read_to_end(&mut bytes).await.unwrap();
    let took = peer.environment.now().since(begun);
    assert!(took < SECOND, "{took:?}");
    assert_eq!(peer.gauges().counters.evicted.get(), 2);
    drop(peer.unread.lock().unwrap().drain(..));
    assert_eq!(status(response).await, "grid: unknown mailbox");
    peer.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_still_queued_at_its_deadline_is_not_executed() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    house.unread("a");
    let mut handed_out = house.queue("b");
    let (server, address) = serve(&environment, &house, 0).await;
    let sender = raw(&environment, &address).await;
    for (mailbox, executed) in [("a", Executed::No), ("b", Executed::Maybe)] {
        let receiver = format!("test.mailbox.{mailbox}");
        let type_name = "github.com/lytics/grid/v3/EchoMsg";
        let message = delivery_to(&receiver, type_name, b"");
        let response = send(&sender, with("grpc-timeout", "100m"), Some(message)).await;
        let error = status::to_error(&status::of_headers(&mut response.headers().clone()).unwrap());
        let outcome = (error.kind(), error.executed());
        assert_eq!(outcome, (Kind::DeadlineExceeded, executed), "{mailbox}");
    }
    assert!(handed_out.recv().await.is_some());
    server.shutdown(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_malformed_token_is_not_executed() {
    let peer = Bounded::new().await;
    let sender = peer.raw().await;
    for token in ["*", "", "MQ", "MmE6OTk5OTk5OTk5OTk5OTk5OTk5OTk5"] {
        let request = with("grid-token-bin", token);
        let response = send(&sender, request, Some(message("held", 1))).await;
        let error = status::to_error(&status::of_headers(&mut response.headers().clone()).unwrap());
        assert_eq!(error.kind(), Kind::InvalidHeaders, "{token}");
        assert_eq!(error.executed(), Executed::No, "{token}");
    }
    assert_eq!(peer.unread.lock().unwrap().len(), 0);
    peer.end().await;
}
