use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming as HttpBody;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::Message as _;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::{debug, warn};

use super::accepted::Accepted;
use super::frame::{self, Framed, Outgoing, ReadError, Reader, Room};
use super::health::{self, HealthService};
use super::tasks::Tasks;
use super::{MAX_ENVELOPE_BYTES, PROCESS_PATH, metadata, status};
use crate::counter::Counter;
use crate::environment::{Environment, Listener, Socket};
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{Body, Payload};
use crate::name::Namespace;
use crate::route::{Directory, Incoming, Meta, Serving, answered, deliver};
use crate::wire::grid;

/// Connections at a time; further ones wait in the kernel's backlog. A grid of 1,000 peers with
/// a few clients each stays below it, and it is below a usual limit on open files.
const MAX_CONNECTIONS: usize = 4096;
/// Streams at a time on one connection: a broadcast from one client to 1,000 members on this
/// peer, four times.
const MAX_STREAMS: u32 = 4096;
/// A request of the default largest size in few frames.
const MAX_FRAME_BYTES: u32 = 1024 * 1024;
/// One request of the default largest size without a pause.
const STREAM_WINDOW_BYTES: u32 = 5 * 1024 * 1024;
/// Several of them at a time. (The HTTP/2 library also allows half as many bytes in overhead of
/// small frames that are not read yet.)
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// Headers of at most 8 KiB in base64, and what else a request carries.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// Resets that may come for streams not yet looked at, and that we may cause: cancelling all
/// streams of a connection several times over within one turn must not end it.
const MAX_RESETS: usize = 4 * MAX_STREAMS as usize;
/// The time for a connection to say that it speaks HTTP/2.
const GREETING_TIME: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait when the kernel gives no connection: it lacks file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a [`ProcessServer`] needs to know.
#[derive(Debug, Clone)]
pub(crate) struct ServerConfig {
    pub(crate) namespace: Namespace,
    /// The largest message that is taken, and the largest reply. It counts the message alone
    /// for our clients, and with its envelope for others, as the Go library does.
    pub(crate) max_message_bytes: usize,
}

/// What became of the connections of a [`ProcessServer`].
#[derive(Debug, Default)]
pub(crate) struct AcceptedCounters {
    pub(crate) taken: Counter,
    pub(crate) ended: Counter,
}

/// A connection that was taken and has not ended.
struct Taken(Arc<AcceptedCounters>);

impl Taken {
    fn new(counters: &Arc<AcceptedCounters>) -> Self {
        counters.taken.increment();
        Self(Arc::clone(counters))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.ended.increment();
    }
}

/// Serves the mailboxes of a peer over the unary route, and tells its health.
///
/// Dropping it ends all connections at once.
pub(crate) struct ProcessServer {
    environment: Environment,
    tasks: Tasks,
    graceful: CancellationToken,
    abort: CancellationToken,
    accepting: JoinHandle<()>,
    counters: Arc<AcceptedCounters>,
}

impl ProcessServer {
    pub(crate) fn start(
        environment: Environment,
        listener: Listener,
        directory: Arc<dyn Directory>,
        serving: Serving,
        config: ServerConfig,
    ) -> Self {
        let tasks = Tasks::new(environment.clone());
        let graceful = CancellationToken::new();
        let abort = CancellationToken::new();
        let counters = Arc::<AcceptedCounters>::default();
        let service = Service {
            environment: environment.clone(),
            directory,
            mailbox_prefix: format!("{}.mailbox.", config.namespace),
            max_message_bytes: config.max_message_bytes,
            room: Room::new(),
            health: HealthService {
                environment: environment.clone(),
                serving,
                ending: graceful.clone(),
            },
        };
        let accept = Accept {
            environment: environment.clone(),
            tasks: tasks.clone(),
            service: Arc::new(service),
            graceful: graceful.clone(),
            counters: counters.clone(),
        };
        // Joined by `shutdown`, aborted by drop; its connections end with it. It does not panic.
        let accepting = environment.spawn(accept.run(listener, abort.clone()));
        Self {
            environment,
            tasks,
            graceful,
            abort,
            accepting,
            counters,
        }
    }

    pub(crate) fn counters(&self) -> &Arc<AcceptedCounters> {
        &self.counters
    }

    /// Takes no more connections and requests, waits until the requests that are here are
    /// answered, or `bound` has passed, and ends. Dropped before its end, it aborts.
    pub(crate) async fn shutdown(mut self, bound: Duration) {
        self.graceful.cancel();
        let drained = self.environment.timeout(bound, &mut self.accepting).await;
        if drained.is_none() {
            debug!("requests are left at the end of the bound, their connections are closed");
            self.abort.cancel();
            let _ = (&mut self.accepting).await;
        }
        self.tasks.ended().await;
    }
}

impl Drop for ProcessServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Owns the listener and the connections.
struct Accept {
    environment: Environment,
    tasks: Tasks,
    service: Arc<Service>,
    graceful: CancellationToken,
    counters: Arc<AcceptedCounters>,
}

impl Accept {
    async fn run(self, mut listener: Listener, abort: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let room = connections.len() < MAX_CONNECTIONS;
            tokio::select! {
                biased;
                () = self.graceful.cancelled() => break,
                Some(ended) = connections.join_next() => report(ended),
                socket = listener.accept(), if room => match socket {
                    Ok(socket) => {
                        connections.spawn(self.connection(socket));
                    }
                    // The simulated network is gone.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => break,
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        let _ = self
                            .environment
                            .timeout(ACCEPT_PAUSE, self.graceful.cancelled())
                            .await;
                    }
                },
            }
        }
        drop(listener);
        loop {
            tokio::select! {
                biased;
                () = abort.cancelled() => break,
                ended = connections.join_next() => match ended {
                    Some(ended) => report(ended),
                    None => break,
                },
            }
        }
        connections.shutdown().await;
    }

    /// One connection, until it ends; after `graceful` it takes no more requests.
    fn connection(&self, socket: Socket) -> impl Future<Output = ()> + Send + use<> {
        let environment = self.environment.clone();
        let graceful = self.graceful.clone();
        let taken = Taken::new(&self.counters);
        let (socket, greeting) = Accepted::new(socket, environment.clone());
        let service = Arc::clone(&self.service);
        let service = hyper::service::service_fn(move |request| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(service.answer(request).await) }
        });
        let connection =
            builder(self.tasks.clone()).serve_connection(TokioIo::new(socket), service);
        async move {
            let _taken = taken;
            tokio::pin!(connection);
            let ended = tokio::select! {
                biased;
                () = graceful.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    None
                }
                ended = connection.as_mut() => Some(ended),
                () = environment.sleep(GREETING_TIME) => {
                    if !greeting.complete() {
                        debug!("a connection does not speak HTTP/2");
                        return;
                    }
                    None
                }
            };
            let ended = match ended {
                Some(ended) => ended,
                None => tokio::select! {
                    biased;
                    () = graceful.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.as_mut().await
                    }
                    ended = connection.as_mut() => ended,
                },
            };
            if let Err(error) = ended {
                debug!(%error, "a connection broke");
            }
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        warn!(%error, "the task of a connection failed");
    }
}

fn builder(tasks: Tasks) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_frame_size(MAX_FRAME_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .auto_date_header(false);
    builder
}

struct Service {
    environment: Environment,
    directory: Arc<dyn Directory>,
    mailbox_prefix: String,
    max_message_bytes: usize,
    room: Room,
    health: HealthService,
}

impl Service {
    /// The checks that every gRPC service makes, then the service by its path.
    async fn answer(&self, request: Request<HttpBody>) -> Response<Outgoing> {
        if request.method() != Method::POST {
            let mut response = http_error(StatusCode::METHOD_NOT_ALLOWED);
            let headers = response.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let content_type = request.headers().get(CONTENT_TYPE);
        if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
            return http_error(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let (parts, body) = request.into_parts();
        let ours = metadata::is_ours(&parts.headers);
        let encoding = parts.headers.get("grpc-encoding").cloned();
        let Ok(time) = metadata::time(&parts.headers) else {
            return http_error(StatusCode::BAD_REQUEST);
        };
        if let Some(encoding) = encoding.filter(|encoding| encoding != "identity") {
            return failed(&Status::unimplemented(format!(
                "grpc: Decompressor is not installed for grpc-encoding {encoding:?}"
            )));
        }
        match parts.uri.path() {
            PROCESS_PATH => {
                let meta = metadata::read(parts.headers, time, &self.environment);
                self.process(meta, body, ours).await
            }
            health::CHECK_PATH => self.health.check(body, time).await,
            health::WATCH_PATH => self.health.watch(body, time).await,
            path => failed(&Status::unimplemented(format!(
                "unknown service or method {:?}",
                path.trim_start_matches('/')
            ))),
        }
    }

    async fn process(&self, meta: Meta, body: HttpBody, ours: bool) -> Response<Outgoing> {
        let deadline = meta.deadline;
        let mut executed = Executed::No;
        let answer = deadline
            .bound(self.exchange(meta, body, ours, &mut executed))
            .await;
        match answer {
            Some(Ok(body)) => replied(frame::delivery(&body.encode(), body.wire_name(), "")),
            Some(Err(status)) => failed(&status),
            None => failed(&status::of_error(&RequestError::deadline(executed))),
        }
    }

    async fn exchange(
        &self,
        meta: Meta,
        body: HttpBody,
        ours: bool,
        executed: &mut Executed,
    ) -> Result<Body, Box<Status>> {
        let told = |error: RequestError| Box::new(status::of_error(&error));
        let envelope = if ours { MAX_ENVELOPE_BYTES } else { 0 };
        let reader = Reader::new(body, self.max_message_bytes + envelope);
        let mut reader = reader.within(&self.room);
        let bytes = match reader.message().await {
            Ok(bytes) => bytes,
            Err(error) => {
                self.directory.failed(RequestErrorKind::InvalidMessage);
                return Err(unreadable(&error, self.max_message_bytes));
            }
        };
        let delivery = match grid::Delivery::decode(bytes) {
            Ok(delivery) => delivery,
            Err(error) => {
                debug!(%error, "a request is not a delivery");
                self.directory.failed(RequestErrorKind::InvalidMessage);
                return Err(malformed(UNMARSHALLING));
            }
        };
        if delivery.data.len() > self.max_message_bytes {
            self.directory.failed(RequestErrorKind::MessageTooLarge);
            return Err(told(too_large(delivery.data.len(), self.max_message_bytes)));
        }
        let Some(name) = delivery.receiver.strip_prefix(&self.mailbox_prefix) else {
            self.directory.failed(RequestErrorKind::NotHeld);
            return Err(told(RequestError::not_held(&delivery.receiver)));
        };
        let body = Body::Encoded(Payload::new(delivery.type_name, delivery.data));
        let (incoming, answer) = Incoming::new(body, meta, self.max_message_bytes);
        deliver(&*self.directory, name, incoming)
            .await
            .map_err(|refused| told(refused.error))?;
        *executed = Executed::Maybe;
        answered(&*self.directory, answer).await.map_err(told)
    }
}

fn too_large(length: usize, limit: usize) -> RequestError {
    RequestError::refused(
        RequestErrorKind::MessageTooLarge,
        format!("grpc: received message larger than max ({length} vs. {limit})"),
    )
}

/// What is said of a request that is not one message of at most `limit` bytes.
pub(super) fn unreadable(error: &ReadError<hyper::Error>, limit: usize) -> Box<Status> {
    match error {
        ReadError::TooLarge(length) => Box::new(status::of_error(&too_large(*length, limit))),
        ReadError::Compressed => {
            malformed("grpc: compressed flag set with identity or empty encoding")
        }
        ReadError::Missing => malformed("grpc: the request holds no message"),
        ReadError::Cut => malformed("grpc: the request ends within its message"),
        ReadError::Trailing => malformed("grpc: the request holds more than a message"),
        // Nobody is there to read it.
        ReadError::Body(_) => malformed("grpc: the request broke off"),
    }
}

pub(super) const UNMARSHALLING: &str =
    "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data";

pub(super) fn malformed(text: &str) -> Box<Status> {
    let error = RequestError::refused(RequestErrorKind::InvalidMessage, text);
    Box::new(status::with_text(&error, Code::Internal, text))
}

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

fn http_error(status: StatusCode) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::default());
    *response.status_mut() = status;
    response
}

pub(super) fn failed(status: &Status) -> Response<Outgoing> {
    let mut response = answer(Outgoing::default());
    put_status(status, response.headers_mut());
    response
}

pub(super) fn replied(message: Framed) -> Response<Outgoing> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    answer(Outgoing::reply(message, trailers))
}

/// The answer of a gRPC method.
pub(super) fn answer(body: Outgoing) -> Response<Outgoing> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    put_status(status, &mut trailers);
    trailers
}

fn put_status(status: &Status, headers: &mut HeaderMap) {
    if status.add_header(headers).is_err() {
        // Cannot be: texts are percent-encoded.
        headers.insert("grpc-status", HeaderValue::from_static("2"));
    }
}
