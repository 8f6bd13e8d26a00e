//! One HTTP/2 connection to an endpoint of etcd.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower_service::Service;

use crate::environment::Environment;

/// Several pages of a list without a pause. A watch that nobody reads holds so much and no more.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The most that HTTP/2 knows. What bounds the memory are the windows of the streams: one for the
/// connection that a few unread watches could fill would hold up the renewals of leases. This one
/// takes two thousand of them.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// etcd ends a connection that is probed more often than every 5 s, or while it is idle.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(6);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// A way for bytes: TCP, or TLS on it.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Where hyper spawns the tasks of connections. They end with their connections, and all of them
/// once `closed` is cancelled, which who owns the connections does. A panic in one ends its
/// connection alone.
#[derive(Clone)]
pub(super) struct ConnectionTasks {
    pub(super) environment: Environment,
    pub(super) closed: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for ConnectionTasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let closed = self.closed.clone();
        drop(self.environment.spawn(async move {
            closed.run_until_cancelled(future).await;
        }));
    }
}

/// One HTTP/2 connection to an endpoint.
pub(super) struct EtcdConnection {
    sender: http2::SendRequest<Body>,
    retired: AtomicBool,
    origin: Uri,
    authenticating: Mutex<()>,
}

impl EtcdConnection {
    /// Begins to speak HTTP/2. The other side need not have answered yet.
    pub(super) async fn begin(
        tasks: &ConnectionTasks,
        io: Box<dyn Io>,
        origin: Uri,
    ) -> Result<Self, hyper::Error> {
        let mut builder = http2::Builder::new(tasks.clone());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        let (sender, driver) = builder.handshake(TokioIo::new(io)).await?;
        hyper::rt::Executor::execute(tasks, async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to etcd broke");
            }
        });
        Ok(Self {
            sender,
            retired: AtomicBool::new(false),
            origin,
            authenticating: Mutex::default(),
        })
    }

    pub(super) fn transport(&self) -> EtcdTransport {
        EtcdTransport(self.sender.clone())
    }

    /// Scheme and authority of the endpoint.
    pub(super) fn origin(&self) -> Uri {
        self.origin.clone()
    }

    /// Waits for the turn to authenticate over this connection: checking a password costs etcd
    /// more than hundreds of requests.
    pub(super) async fn authenticating(&self) -> MutexGuard<'_, ()> {
        self.authenticating.lock().await
    }

    /// No further exchange goes over it; those on their way may end.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.sender.is_closed() && !self.retired.load(Ordering::Relaxed)
    }
}

/// The way of the stubs to the connection.
#[derive(Clone)]
pub(super) struct EtcdTransport(http2::SendRequest<Body>);

impl Service<Request<Body>> for EtcdTransport {
    type Response = Response<Incoming>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    // The stubs would lose an error of this one: `call` waits instead.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut sender = self.0.clone();
        Box::pin(async move {
            if let Err(error) = sender.ready().await {
                return Err(NotSent(error).into());
            }
            match sender.try_send_request(request).await {
                Ok(response) => Ok(response),
                // It never left the queue of the connection.
                Err(error) if error.message().is_some() => Err(NotSent(error.into_error()).into()),
                Err(error) => Err(error.into_error().into()),
            }
        })
    }
}

/// Nothing of the request left this process.
#[derive(Debug)]
pub(super) struct NotSent(hyper::Error);

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not sent: {}", self.0)
    }
}

impl std::error::Error for NotSent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
