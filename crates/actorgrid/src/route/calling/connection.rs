//! One HTTP/2 connection to a peer, shared by concurrent calls.

use std::future::Future;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming as HttpBody;
use hyper::client::conn::{TrySendError, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;

use super::called_socket::{CalledSocket, SocketTraffic};
use crate::address::Address;
use crate::environment::{Environment, Timestamp};
use crate::error::BoxError;
use crate::registry::Capabilities;
use crate::route::codec::Outgoing;
use crate::route::tasks::Tasks;
use crate::route::transport::Transport;

/// The frames that we accept stay at HTTP/2's smallest limit: the library derives from it how many
/// parts headers may come in, and a Go peer sends an error's text, up to 256 KiB of headers, in
/// parts of 16 KiB. With a larger limit the library would take them for an attack and end the
/// connection.
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// An error's text travels in the headers of a reply; see [`MAX_ERROR_TEXT`](crate::error).
const MAX_HEADER_LIST_BYTES: u32 = 256 * 1024;
/// One reply of the default size limit without a pause.
const STREAM_WINDOW_BYTES: u32 = 5 * 1024 * 1024;
/// Several such replies at a time; see also [`MAX_CALLS`].
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// The number of streams opened before the peer has announced how many it accepts.
const INITIAL_STREAMS: usize = 1024;
/// The number of cancelled calls that the connection remembers for a second, so that a late answer
/// is recognized as such. 1,000 calls in flight may be cancelled at once, again and again.
const MAX_RESETS: usize = 16 * 1024;
/// The number of calls that may be in flight on one connection, or have been cancelled on it,
/// before another connection replaces it. The HTTP/2 library counts up to 256 bytes of overhead for
/// each small answer that arrives after its call was cancelled, never forgets them, and ends the
/// connection when they reach half of its window: at 65,536.
pub(in crate::route) const MAX_CALLS: usize = 32 * 1024;
/// The number of parts of answers that may arrive when their calls are no longer remembered: the
/// library resets the stream again for each of them, and ends the connection when there are too
/// many. A small answer has three parts: headers, a message, trailers.
const MAX_LATE_PARTS: usize = 4 * MAX_CALLS;
/// A silent peer of ours is probed, even without calls: the next call should not be the one that
/// finds its connection dead. That costs a few hundred bytes a second until the connection is
/// released.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// The driver of the connection [checks](super::peer_silence) for silence, and ends the connection
/// much earlier.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// A grpc-go server with default settings, such as a Go peer's, ends a connection on which it is
/// probed more often than every five minutes, or while there is no call.
const FOREIGN_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(330);
const FOREIGN_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Replaces the probes on such a connection: it counts as silent if a call is abandoned after this
/// time, without a single byte having arrived on the connection. The next call opens another one.
const UNPROBED_SILENCE: Duration = Duration::from_secs(1);

/// The response to a request, or the reason why there is none.
pub(super) type Sending = Result<Response<HttpBody>, TrySendError<Request<Outgoing>>>;

/// A connection to a peer, shared by concurrent calls. It ends when nobody holds it and its last
/// call is over, when it breaks, or when the pool is closed.
pub(super) struct Connection {
    /// `None` once the connection accepts no more requests. A request that is queued at that very
    /// moment can be left in the queue, and returns to its caller only when the queue is freed,
    /// together with its last sender. So no caller may keep a sender while it waits.
    sender: Mutex<Option<http2::SendRequest<Outgoing>>>,
    uses: AtomicUsize,
    /// The calls in flight, plus the cancelled ones.
    calls: AtomicUsize,
    traffic: Arc<SocketTraffic>,
    silent: AtomicBool,
    environment: Environment,
    probed: bool,
    /// Ends the socket when cancelled.
    severed: CancellationToken,
}

/// Counts a call on a connection. A call whose guard is dropped before its [end](Self::end) was
/// cancelled, and stays counted.
pub(super) struct CallGuard<C: Deref<Target = Connection>> {
    connection: C,
    /// If the connection is not probed: when the call began, and how much had been heard by then.
    since: Option<(Timestamp, usize)>,
    ended: bool,
}

impl<C: Deref<Target = Connection>> CallGuard<C> {
    pub(super) fn begin(connection: C) -> Self {
        connection.calls.fetch_add(1, Ordering::Relaxed);
        let since = (!connection.probed).then(|| {
            let heard = connection.traffic.heard();
            (connection.environment.now(), heard)
        });
        Self {
            connection,
            since,
            ended: false,
        }
    }

    /// Marks the call as finished rather than cancelled.
    pub(super) fn end(mut self) {
        self.connection.calls.fetch_sub(1, Ordering::Relaxed);
        self.ended = true;
    }
}

impl<C: Deref<Target = Connection>> Drop for CallGuard<C> {
    fn drop(&mut self) {
        let Some((began, heard)) = self.since else {
            return;
        };
        if !self.ended
            && self.connection.traffic.heard() == heard
            && self.connection.environment.now() >= began + UNPROBED_SILENCE
        {
            self.connection.silent.store(true, Ordering::Relaxed);
        }
    }
}

impl Connection {
    /// Connects, and waits until the peer has sent its first bytes. The caller must spawn the
    /// returned future, which drives the connection.
    ///
    /// A peer that shuts down resets the connections that its kernel has accepted and it has not.
    /// Those would look like connections that broke later, so no request is sent before the peer
    /// has sent something.
    pub(super) async fn open(
        environment: &Environment,
        tasks: &Tasks,
        address: &Address,
        capabilities: Capabilities,
        closed: &CancellationToken,
    ) -> Result<(Arc<Self>, impl Future<Output = ()> + Send + use<>), BoxError> {
        let socket = Transport::connect(environment, address).await?;
        let traffic = Arc::<SocketTraffic>::default();
        let severed = closed.child_token();
        let (socket, spoken) = CalledSocket::new(socket, severed.clone(), Arc::clone(&traffic));
        let probed = capabilities.bear_frequent_probes();
        let mut builder = http2::Builder::new(tasks.clone());
        builder
            .timer(TokioTimer::new())
            .max_frame_size(MAX_FRAME_BYTES)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_max_send_streams(INITIAL_STREAMS)
            .max_concurrent_reset_streams(MAX_RESETS)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(MAX_LATE_PARTS)
            .keep_alive_while_idle(probed);
        if probed {
            builder.keep_alive_interval(KEEP_ALIVE_INTERVAL);
            builder.keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        } else {
            builder.keep_alive_interval(FOREIGN_KEEP_ALIVE_INTERVAL);
            builder.keep_alive_timeout(FOREIGN_KEEP_ALIVE_TIMEOUT);
        }
        // This spawns the task that reads.
        let (sender, driver) = builder.handshake(TokioIo::new(socket)).await?;
        if spoken.await.is_err() {
            let text = "the connection ended before the peer sent anything";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
        }
        let connection = Arc::new(Self {
            sender: Mutex::new(Some(sender)),
            uses: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            traffic,
            silent: AtomicBool::new(false),
            environment: environment.clone(),
            probed,
            severed,
        });
        let driven = Arc::downgrade(&connection);
        let driver = async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to a peer broke");
            }
            if let Some(connection) = driven.upgrade() {
                let sender = connection.lock().take();
                drop(sender);
            }
        };
        Ok((connection, driver))
    }

    /// Queues a request. Returns `None` if the connection accepts no more; then nothing was sent.
    pub(super) fn send(
        &self,
        request: Request<Outgoing>,
    ) -> Option<impl Future<Output = Sending> + use<>> {
        self.uses.fetch_add(1, Ordering::Relaxed);
        let mut sender = self.lock();
        let sending = sender.as_mut()?.try_send_request(request);
        Some(sending)
    }

    fn lock(&self) -> MutexGuard<'_, Option<http2::SendRequest<Outgoing>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of calls that have used the connection.
    pub(super) fn uses(&self) -> usize {
        self.uses.load(Ordering::Relaxed)
    }

    /// Returns the traffic; `None` if a silent peer is not probed, and so need not answer.
    pub(super) fn traffic(&self) -> Option<&SocketTraffic> {
        self.probed.then_some(&*self.traffic)
    }

    /// Breaks the connection, for all calls in flight.
    pub(super) fn sever(&self) {
        self.severed.cancel();
    }

    /// Whether the connection has had as many calls as it can take.
    pub(super) fn is_full(&self) -> bool {
        self.calls.load(Ordering::Relaxed) >= MAX_CALLS
    }

    /// Whether further calls can use the connection.
    pub(super) fn is_usable(&self) -> bool {
        let takes = self.lock().as_ref().is_some_and(|to| !to.is_closed());
        takes && !self.is_full() && !self.silent.load(Ordering::Relaxed)
    }
}

/// Whether the peer reported, or the connection knows, that nothing of the request was executed.
///
/// A peer refuses the stream, or its GOAWAY excludes it. (The library reports a GOAWAY for a stream
/// also when it arrives between the headers and the message: then the message is not sent.)
pub(super) fn is_refusal(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (refused || error.is_go_away());
        }
        source = cause.source();
    }
    false
}
