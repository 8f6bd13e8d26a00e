//! One connection that was accepted: its HTTP/2 limits, its greeting, its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::accepted_socket::AcceptedSocket;
use super::grid_service::GridService;
use crate::environment::Environment;
use crate::route::tasks::Tasks;
use crate::route::transport::Transport;

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
/// Headers of at most 8 KiB in base64, and the rest of a request's metadata.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// Resets that may come for streams not yet looked at, and that we may cause: cancelling all
/// streams of a connection several times over within one turn must not end it.
const MAX_RESETS: usize = 4 * MAX_STREAMS as usize;
/// The time for a connection to say that it speaks HTTP/2.
const GREETING_TIME: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The context in which a connection is served.
pub(super) struct OpenConnection {
    pub(super) environment: Environment,
    pub(super) tasks: Tasks,
    pub(super) service: Arc<GridService>,
    pub(super) graceful: CancellationToken,
}

/// Serves a connection to its end; after `graceful` it accepts no more requests.
pub(super) async fn serve(open: OpenConnection, transport: Transport) {
    let OpenConnection {
        environment,
        tasks,
        service,
        graceful,
    } = open;
    let caller = transport.caller();
    let (socket, greeting) = AcceptedSocket::new(transport, environment.clone());
    let service = hyper::service::service_fn(move |request| {
        let (service, caller) = (Arc::clone(&service), caller.clone());
        async move { Ok::<_, Infallible>(service.answer(request, caller).await) }
    });
    let connection = builder(tasks).serve_connection(TokioIo::new(socket), service);
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
