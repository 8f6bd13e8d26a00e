//! The socket of an accepted connection: it reads in bounded turns, and closes without losing the
//! last bytes it sent.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::busy_connections::TurnSize;
use super::connection_activity::ConnectionActivity;
use super::control_budget::ControlBudget;
use super::frame_meter::FrameMeter;
use crate::environment::{Environment, Timestamp};
use crate::route::transport::Transport;

/// How long the client has to close a connection after our last bytes. One round trip is enough; it
/// is shorter than a shutdown's wait for answers.
const LINGER_TIME: Duration = Duration::from_millis(500);
/// The number of bytes that are read at a time, and discarded, while the socket lingers.
const DISCARD_BYTES: usize = 4096;
/// If turns are small and requests are too, a read is limited to this much for each request of a
/// turn: about the size of the smallest ones, with their headers. One read would bring many turns
/// of them otherwise.
const SMALL_REQUEST_BYTES: usize = 256;
/// Requests up to this size are small.
const MAX_SMALL_REQUEST_BYTES: usize = 1024;

/// How often to check whether a connection has ended from which nothing is read.
const THROTTLE_SLICE: Duration = Duration::from_millis(500);
/// How long a client may exceed its pace. A burst of an honest client is read long before that; of
/// a flood, megabytes would wait in the kernel for minutes, with the end of the connection behind
/// them.
const MAX_TIME_BEHIND: Duration = Duration::from_secs(5);
/// A client that has gone this long without a pause is back within its pace.
const CAUGHT_UP_TIME: Duration = Duration::from_millis(500);

/// How much an accepted socket may still read in this turn. The socket and the driver of its
/// connection share it; both are polled by one task.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn(Arc<TurnState>);

#[derive(Debug, Default)]
struct TurnState {
    bytes: AtomicUsize,
    requests: AtomicU32,
    begun: AtomicBool,
    cut_short: AtomicBool,
    throttled: AtomicBool,
    over_pace: AtomicBool,
}

impl Turn {
    /// Begins a new turn of this size.
    pub(super) fn begin(&self, size: TurnSize) {
        self.0.bytes.store(size.bytes, Ordering::Relaxed);
        self.0.requests.store(size.requests, Ordering::Relaxed);
        self.0.begun.store(true, Ordering::Relaxed);
        self.0.cut_short.store(false, Ordering::Relaxed);
    }

    fn size(&self) -> TurnSize {
        TurnSize {
            bytes: self.0.bytes.load(Ordering::Relaxed),
            requests: self.0.requests.load(Ordering::Relaxed),
        }
    }

    /// Whether there was more to read than the turn allowed.
    pub(super) fn was_cut_short(&self) -> bool {
        self.0.cut_short.load(Ordering::Relaxed)
    }

    /// Whether reading is paused because too many control frames have arrived.
    pub(super) fn is_throttled(&self) -> bool {
        self.0.throttled.load(Ordering::Relaxed)
    }

    /// Whether control frames have arrived faster than they may be read, and for so long that the
    /// connection has to be closed.
    pub(super) fn is_over_pace(&self) -> bool {
        self.0.over_pace.load(Ordering::Relaxed)
    }
}

/// An accepted socket.
///
/// It reads in turns of a bounded size, and more slowly if its client sends more control frames
/// than any client needs. Its shutdown lasts until the client has closed too, or its time is over:
/// a client that still sends would otherwise be answered with a reset, which may overtake our
/// GOAWAY; then the client could not know that its last requests were not processed.
pub(super) struct AcceptedSocket {
    socket: Transport,
    environment: Environment,
    activity: Arc<ConnectionActivity>,
    meter: FrameMeter,
    control: ControlBudget,
    /// Runs while the client has sent too many control frames.
    throttle: Option<Throttle>,
    /// When its client was first paused; it has not caught up since then.
    behind_since: Timestamp,
    /// When the last pause ended.
    held_up_until: Timestamp,
    turn: Turn,
    turn_bytes: usize,
    turn_requests: u32,
    /// Whether the last read brought small requests.
    are_requests_small: bool,
    /// Runs once our side is closed.
    linger: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Whether anything may be read.
#[derive(Debug, PartialEq, Eq)]
enum MayRead {
    /// The rest of this turn.
    Turn,
    /// Nothing: the connection is at its end.
    Nothing,
}

/// A pause before more is read. It sleeps in slices, so that the end of the connection is noticed.
struct Throttle {
    slice: Pin<Box<tokio::time::Sleep>>,
    until: Timestamp,
}

impl Throttle {
    /// Creates a pause until then; `None` if that time has passed.
    fn until(until: Timestamp, environment: &Environment) -> Option<Self> {
        let left = until.since(environment.now());
        let slice = left.min(THROTTLE_SLICE);
        (!left.is_zero()).then(|| Self {
            slice: Box::pin(environment.sleep(slice)),
            until,
        })
    }

    /// Returns the rest of the pause.
    fn rest(&self, environment: &Environment) -> Option<Self> {
        Self::until(self.until, environment)
    }
}

impl AcceptedSocket {
    pub(super) fn new(
        socket: Transport,
        environment: Environment,
        activity: Arc<ConnectionActivity>,
        control: ControlBudget,
    ) -> (Self, Turn) {
        let turn = Turn::default();
        let now = environment.now();
        let accepted = Self {
            socket,
            environment,
            activity,
            meter: FrameMeter::new(),
            control,
            throttle: None,
            behind_since: now,
            held_up_until: now,
            turn: turn.clone(),
            turn_bytes: 0,
            turn_requests: 0,
            are_requests_small: false,
            linger: None,
        };
        (accepted, turn)
    }

    /// Reads and discards what still arrives, until the client has closed.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; DISCARD_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Returns ready if more may be read now. When the turn is over, the driver polls again.
    fn poll_may_read(&mut self, cx: &mut Context<'_>) -> Poll<MayRead> {
        while let Some(pause) = &mut self.throttle {
            ready!(pause.slice.as_mut().poll(cx));
            // The data that a closed client left behind is not worth reading.
            if self.socket.is_read_closed() {
                return Poll::Ready(MayRead::Nothing);
            }
            let now = self.environment.now();
            if now.since(self.behind_since) >= MAX_TIME_BEHIND {
                // The driver checks this once this poll is over.
                self.turn.0.over_pace.store(true, Ordering::Relaxed);
                return Poll::Pending;
            }
            self.held_up_until = now;
            self.throttle = pause.rest(&self.environment);
            let throttled = self.throttle.is_some();
            self.turn.0.throttled.store(throttled, Ordering::Relaxed);
        }
        if self.turn.0.begun.swap(false, Ordering::Relaxed) {
            self.turn_bytes = 0;
            self.turn_requests = 0;
        }
        let TurnSize { bytes, requests } = self.turn.size();
        if self.turn_bytes >= bytes || self.turn_requests >= requests {
            self.turn.0.cut_short.store(true, Ordering::Relaxed);
            return Poll::Pending;
        }
        Poll::Ready(MayRead::Turn)
    }

    fn note_read(&mut self, bytes: &[u8]) {
        let seen = self.meter.scan(bytes, self.activity.streams());
        if self.meter.has_preface() {
            self.activity.greet();
        }
        self.activity.note_read(bytes.len());
        self.turn_bytes += bytes.len();
        self.turn_requests += seen.requests;
        let small = (seen.requests as usize).saturating_mul(MAX_SMALL_REQUEST_BYTES);
        self.are_requests_small = bytes.len() < small;
        if seen.weight == 0 {
            return;
        }
        let now = self.environment.now();
        if let Some(pause) = self.control.spend(seen.weight, now) {
            if now.since(self.held_up_until) > CAUGHT_UP_TIME {
                self.behind_since = now;
            }
            self.throttle = Throttle::until(now + pause, &self.environment);
            self.turn.0.throttled.store(true, Ordering::Relaxed);
        }
    }

    /// Returns the most bytes that may be read at a time.
    fn read_limit(&self) -> usize {
        let size = self.turn.size();
        match self.are_requests_small && size.is_reduced() {
            true => size.requests as usize * SMALL_REQUEST_BYTES,
            false => usize::MAX,
        }
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.activity.note_written(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.block_write(),
        }
    }
}

impl AsyncRead for AcceptedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_may_read(cx)) == MayRead::Nothing {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let limit = self.read_limit();
        if limit < buffer.remaining() {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(limit));
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buffer.advance(read);
        } else {
            ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        }
        self.note_read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AcceptedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.note_write(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        // The HTTP/2 library flushes when its own buffer is empty.
        self.activity.note_flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        let environment = &this.environment;
        let linger = this.linger.get_or_insert_with(|| {
            let environment = environment.clone();
            Box::pin(async move { environment.sleep(LINGER_TIME).await })
        });
        if linger.as_mut().poll(cx).is_pending() {
            ready!(this.poll_discard(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::frame_meter::PREFACE_BYTES;
    use super::*;
    use crate::environment::{Simulation, Socket};
    use crate::route::serving::control_budget::PeerControlBudget;

    async fn pair() -> (Environment, AcceptedSocket, Socket) {
        let (environment, server, _, client) = pair_with_turn().await;
        (environment, server, client)
    }

    async fn pair_with_turn() -> (Environment, AcceptedSocket, Turn, Socket) {
        let environment = Simulation::new(1).environment();
        let listening = "127.0.0.1:0".parse().unwrap();
        let mut listener = environment.listen(listening).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let address = address.parse().unwrap();
        let (client, server) = tokio::join!(environment.connect(&address), listener.accept());
        let activity = Arc::new(ConnectionActivity::new(environment.now()));
        let server = Transport::accepted(server.unwrap());
        let control = PeerControlBudget::new().source(environment.now());
        let (server, turn) = AcceptedSocket::new(server, environment.clone(), activity, control);
        (environment, server, turn, client.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_after_its_bytes_or_its_requests() {
        let preface = [0xff; PREFACE_BYTES];
        // One frame of data, longer than everything that arrives.
        let data = [&preface[..], &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat();
        let data = [data, vec![0; TurnSize::FULL.bytes]].concat();
        let requests = [0, 0, 0, 1, 4, 0, 0, 0, 1].repeat(TurnSize::FULL.requests as usize);
        let requests = [&preface[..], &requests].concat();
        for (sent, turn_bytes) in [(&data, TurnSize::FULL.bytes), (&requests, requests.len())] {
            let (_environment, mut server, turn, mut client) = pair_with_turn().await;
            turn.begin(TurnSize::FULL);
            let mut read = vec![0; turn_bytes];
            let sends = client.write_all(&sent[..turn_bytes]);
            let (sends, reads) = tokio::join!(sends, server.read_exact(&mut read));
            sends.and(reads).unwrap();
            // There is more to read, but not in this turn.
            client.write_all(b"more").await.unwrap();
            assert!(server.read_u8().now_or_never().is_none());
            assert!(turn.was_cut_short());
            turn.begin(TurnSize::FULL);
            assert!(server.read_u8().now_or_never().is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn data_that_still_arrives_does_not_destroy_the_last_word() {
        let (environment, mut server, mut client) = pair().await;
        let begun = environment.now();
        let server = async {
            server.write_all(b"last word").await.unwrap();
            server.shutdown().await.unwrap();
            drop(server);
        };
        let client = async {
            for _ in 0..100 {
                client.write_all(&[0; DISCARD_BYTES]).await.unwrap();
            }
            let mut read = String::new();
            client.read_to_string(&mut read).await.unwrap();
            drop(client);
            read
        };
        let ((), read) = tokio::join!(server, client);
        assert_eq!(read, "last word");
        assert_eq!(environment.now(), begun);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_close_is_not_waited_for_long() {
        let (environment, mut server, client) = pair().await;
        let begun = environment.now();
        server.shutdown().await.unwrap();
        drop(client);
        let took = environment.now().since(begun);
        assert!(took >= LINGER_TIME && took < 2 * LINGER_TIME, "{took:?}");
    }
}
