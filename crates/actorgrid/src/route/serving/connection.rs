//! One connection that speaks HTTP/2: its limits, its preface, its streams, its end.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use tracing::{debug, error};

use super::accepted_socket::{AcceptedSocket, Turn};
use super::busy_connections::{BusyPlace, TurnSize};
use super::end_orders::EndOrders;
use super::grid_service::GridService;
use super::keep_alive::{KeepAlive, KeepAliveStep, LOOK_INTERVAL, Look};
use super::message_reader::STREAM_WINDOW_BYTES;
use super::reply_buffer::{ReplyBuffer, UnsentReply};
use super::served_connection::ServedConnection;
use super::served_stream::serve_stream;
use crate::route::transport::Transport;

/// The bytes that may be in flight, in addition to those of streams that wait for room or have it.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// HTTP/2's smallest limit, which all clients use: the library reserves the length of a frame as
/// soon as its header has arrived.
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// Headers of at most 8 KiB in base64, and the rest of a request's metadata.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// The bytes of one reply that are handed to the HTTP/2 library at a time.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// How much overhead for small data frames the library accepts on a connection. Frames that arrive
/// after an early answer count against it permanently: it is enough for more than 60,000 of them.
const DATA_FRAME_BUDGET_BYTES: usize = 16 * 1024 * 1024;
/// The number of resets that may arrive for streams not yet processed: more than begin in one turn.
const MAX_PENDING_RESETS: usize = 4 * 1024;
/// The number of streams that are remembered for a second after we have reset them, because their
/// clients may still send: all streams of a connection, answered before their messages have
/// arrived.
const MAX_REMEMBERED_RESETS: usize = 1024;
/// The number of frames for closed or refused streams, over the life of a connection. A client that
/// keeps sending after an early answer is no attacker.
const MAX_ERROR_RESETS: usize = 16 * 1024;
/// How often to look for replies that were not received in time.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// How long the client of an evicted connection has to learn which of its requests were not
/// processed.
const EVICTION_TIME: Duration = Duration::from_millis(500);

type Http2 = Connection<AcceptedSocket, ReplyBuffer>;

/// Serves a connection until it ends. This one future drives all its streams, and they end with it.
/// `too_late` ends when the preface has not come in time.
pub(super) async fn serve_http2(
    connection: Arc<ServedConnection>,
    service: Arc<GridService>,
    transport: Transport,
    end: &EndOrders,
    too_late: Pin<&mut impl Future<Output = ()>>,
) {
    let activity = connection.activity.clone();
    let environment = connection.environment.clone();
    let control = connection.control.clone();
    let (socket, turn) = AcceptedSocket::new(transport, environment.clone(), activity, control);
    turn.begin(TurnSize::FULL);
    let handshake = builder(connection.max_streams).handshake(socket);
    let Some(http2) = greeted(&turn, handshake, too_late).await else {
        return;
    };
    let answer = |request, respond| {
        let served = serve_stream(connection.clone(), service.clone(), request, respond);
        // A panic in user code, which decodes messages, ends only its own stream.
        AssertUnwindSafe(served).catch_unwind()
    };
    let driver = Driver::new(&connection, http2, turn, answer);
    drive(driver, end).await;
}

/// Waits until the connection has sent its preface.
async fn greeted(
    turn: &Turn,
    handshake: h2::server::Handshake<AcceptedSocket, ReplyBuffer>,
    too_late: Pin<&mut impl Future<Output = ()>>,
) -> Option<Http2> {
    let mut handshake = pin!(handshake);
    let handshake = poll_fn(|cx| {
        turn.begin(TurnSize::FULL);
        handshake.as_mut().poll(cx)
    });
    tokio::select! {
        biased;
        greeted = handshake => match greeted {
            Ok(http2) => Some(http2),
            Err(error) => {
                debug!(%error, "a connection does not speak HTTP/2");
                None
            }
        },
        () = too_late => {
            debug!("a connection does not speak HTTP/2");
            None
        }
    }
}

/// Drives a connection until it ends, or is ordered to end.
async fn drive<F, A>(mut driver: Driver<'_, F, A>, end: &EndOrders)
where
    F: Future<Output = std::thread::Result<Option<UnsentReply>>>,
    A: FnMut(Request<RecvStream>, SendResponse<ReplyBuffer>) -> F,
{
    let environment = driver.connection.environment.clone();
    let mut is_ending = false;
    let mut look = pin!(environment.sleep(LOOK_INTERVAL));
    let mut cut_off = pin!(async {
        end.evicted.cancelled().await;
        environment.sleep(EVICTION_TIME).await;
    });
    loop {
        tokio::select! {
            biased;
            () = end.graceful.cancelled(), if !is_ending => {
                is_ending = true;
                driver.http2.graceful_shutdown();
            }
            () = end.evicted.cancelled(), if !is_ending => {
                is_ending = true;
                driver.http2.graceful_shutdown();
            }
            () = &mut cut_off => return,
            () = &mut look => {
                if !driver.look() {
                    return;
                }
                look.set(environment.sleep(LOOK_INTERVAL));
            }
            () = poll_fn(|cx| driver.poll(cx)) => return,
        }
    }
}

/// Why accepting requests stopped.
enum Accepting {
    /// The connection has ended.
    Ended,
    /// No more may be accepted now. Some may have arrived.
    HeldBack,
}

/// Drives a connection and its streams.
struct Driver<'a, F, A> {
    connection: &'a ServedConnection,
    http2: Http2,
    turn: Turn,
    busy: BusyPlace,
    answer: A,
    streams: FuturesUnordered<F>,
    /// The replies that the HTTP/2 library still holds.
    unsent: Vec<UnsentReply>,
    /// Runs while there are such replies.
    sweep: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Whether the last turn may have left streams that have ended.
    has_ended_streams: bool,
    /// Whether the last turn may have left overdue replies.
    is_sweeping: bool,
    /// Whether the client has been informed that it sends too fast.
    is_calmed: bool,
    ping: Option<PingPong>,
    keep_alive: KeepAlive,
    window: u32,
}

impl<'a, F, A> Driver<'a, F, A>
where
    F: Future<Output = std::thread::Result<Option<UnsentReply>>>,
    A: FnMut(Request<RecvStream>, SendResponse<ReplyBuffer>) -> F,
{
    fn new(connection: &'a ServedConnection, mut http2: Http2, turn: Turn, answer: A) -> Self {
        Self {
            connection,
            ping: http2.ping_pong(),
            http2,
            turn,
            busy: connection.busy.place(),
            has_ended_streams: false,
            answer,
            streams: FuturesUnordered::new(),
            unsent: Vec::new(),
            sweep: None,
            is_sweeping: false,
            is_calmed: false,
            keep_alive: KeepAlive::default(),
            window: CONNECTION_WINDOW_BYTES,
        }
    }

    /// One turn: reads, serves what was read, and writes. Returns ready when the connection has
    /// ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let size = self.busy.turn();
        self.turn.begin(size);
        let before = self.streams.len();
        let was_held_back = match self.poll_accept(cx) {
            Poll::Ready(Accepting::Ended) => return Poll::Ready(()),
            Poll::Ready(Accepting::HeldBack) => true,
            Poll::Pending => false,
        };
        let accepted = self.streams.len() > before;
        let ended = self.poll_streams(size, cx);
        self.fit_window();
        let calmed = self.calm();
        if (accepted || ended || was_held_back || calmed) && self.poll_http2(cx).is_ready() {
            return Poll::Ready(());
        }
        self.unsent.retain(|reply| !reply.is_sent());
        if self.poll_sweep(size, cx) && self.poll_http2(cx).is_ready() {
            return Poll::Ready(());
        }
        self.note_streams();
        let cut_short = self.turn.was_cut_short();
        self.busy
            .set(cut_short || self.has_ended_streams || self.is_sweeping);
        if cut_short || (was_held_back && self.may_accept()) {
            // Other connections first, then the next turn.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Accepts the requests that have arrived.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Accepting> {
        while self.may_accept() {
            match self.http2.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.streams.push((self.answer)(request, respond));
                }
                Poll::Ready(Some(Err(error))) => {
                    debug!(%error, "a connection broke");
                    return Poll::Ready(Accepting::Ended);
                }
                Poll::Ready(None) => return Poll::Ready(Accepting::Ended),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Accepting::HeldBack)
    }

    /// Whether another request may be accepted. A client that does not read its responses gets no
    /// more.
    fn may_accept(&self) -> bool {
        let ServedConnection {
            activity,
            max_streams,
            ..
        } = self.connection;
        let max_streams = *max_streams as usize;
        self.streams.len() < max_streams && activity.unwritten_responses() < 2 * max_streams
    }

    /// Reads and writes. Returns ready when the connection has ended.
    fn poll_http2(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.http2.poll_closed(cx).map(|closed| {
            if let Err(error) = closed {
                debug!(%error, "a connection broke");
            }
        })
    }

    /// Drives the streams until as many have ended as a turn allows; returns whether any has.
    fn poll_streams(&mut self, size: TurnSize, cx: &mut Context<'_>) -> bool {
        self.has_ended_streams = false;
        for ended in 0..size.requests {
            match self.streams.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(unsent))) => self.unsent.extend(unsent),
                Poll::Ready(Some(Err(_))) => error!("reading a request panicked"),
                Poll::Ready(None) | Poll::Pending => return ended > 0,
            }
        }
        self.has_ended_streams = true;
        // Other connections first, then the rest.
        cx.waker().wake_by_ref();
        true
    }

    fn note_streams(&mut self) {
        let activity = &self.connection.activity;
        let streams = self.streams.len() + self.unsent.len();
        if streams == 0 && activity.streams() > 0 {
            activity.idle_from(self.connection.environment.now());
        }
        activity.set_streams(streams);
    }

    /// Looks for replies that were not received in time, once per interval while there are unsent
    /// ones. Returns whether any was reset.
    fn poll_sweep(&mut self, size: TurnSize, cx: &mut Context<'_>) -> bool {
        let before = self.unsent.len();
        while !self.unsent.is_empty() {
            if !self.is_sweeping {
                let environment = &self.connection.environment;
                let sweep = self
                    .sweep
                    .get_or_insert_with(|| Box::pin(environment.sleep(SWEEP_INTERVAL)));
                if sweep.as_mut().poll(cx).is_pending() {
                    break;
                }
                self.sweep = None;
            }
            self.is_sweeping = self.expire_replies(size) == size.requests;
            if self.is_sweeping {
                // Other connections first, then the rest.
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.unsent.len() < before
    }

    /// Resets replies that their clients have not received in time, but no more than a turn allows:
    /// a thousand can be overdue at one moment, at their common deadline. Returns how many.
    fn expire_replies(&mut self, size: TurnSize) -> u32 {
        let counters = &self.connection.counters;
        let mut expired = 0;
        self.unsent.retain_mut(|reply| {
            let expires = expired < size.requests && reply.expire();
            if expires {
                expired += 1;
                counters.replies_not_taken.increment();
            }
            !expires
        });
        expired
    }

    /// Begins to close the connection of a client that has exceeded its pace for too long. Returns
    /// whether it did so now.
    fn calm(&mut self) -> bool {
        let is_new = self.turn.is_over_pace() && !self.is_calmed;
        if is_new {
            self.is_calmed = true;
            debug!("closing a connection: its client sends too many control frames");
            self.connection.counters.over_pace.increment();
            self.http2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        is_new
    }

    /// Fits the connection's window to its waiting streams: they hold bytes that nobody reads,
    /// which must not hold up the other streams.
    fn fit_window(&mut self) {
        let ticketed = u32::try_from(self.connection.received.ticketed()).unwrap_or(u32::MAX);
        let window = ticketed
            .saturating_mul(STREAM_WINDOW_BYTES)
            .saturating_add(CONNECTION_WINDOW_BYTES)
            .min(i32::MAX as u32);
        if window != self.window {
            self.window = window;
            self.http2.set_target_window_size(window);
        }
    }

    /// Checks whether the client is there. Returns false if the connection has to be closed.
    fn look(&mut self) -> bool {
        let activity = &self.connection.activity;
        let step = self.keep_alive.look(Look {
            bytes_read: activity.bytes_read(),
            bytes_written: activity.bytes_written(),
            is_write_blocked: activity.is_write_blocked(),
            is_throttled: self.turn.is_throttled(),
        });
        match step {
            KeepAliveStep::Nothing => true,
            KeepAliveStep::Ask => {
                if let Some(ping) = &mut self.ping {
                    // The pong itself needs no handling: reading it already counted as activity.
                    let _ = ping.poll_pong(&mut Context::from_waker(Waker::noop()));
                    // Fails while an earlier ping is unanswered, which serves the same purpose.
                    let _ = ping.send_ping(Ping::opaque());
                }
                true
            }
            KeepAliveStep::Close(reason) => {
                debug!(reason, "closing a connection");
                self.connection.counters.dead.increment();
                false
            }
        }
    }
}

fn builder(max_streams: u32) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(max_streams)
        .max_frame_size(MAX_FRAME_BYTES)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .data_frame_budget(DATA_FRAME_BUDGET_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_concurrent_reset_streams(MAX_REMEMBERED_RESETS)
        .max_local_error_reset_streams(Some(MAX_ERROR_RESETS));
    builder
}
