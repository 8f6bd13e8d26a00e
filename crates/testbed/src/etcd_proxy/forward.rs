//! Forwards calls, part by part.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpStream;

use super::frames::{self, Frames};
use super::rule::{Fate, PartKind, ProxyState, lock};

/// More bytes than any test sends.
const WINDOW_BYTES: u32 = 1 << 30;

/// More calls than any test cancels at once: etcd itself has no such limit.
const RESETS: usize = 1 << 20;

/// A call that cannot continue because its stream or its connection has ended.
struct Ended;

impl From<h2::Error> for Ended {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

/// Serves one connection of a client over a new one to etcd, until either ends or is cut.
pub(super) async fn serve(state: Arc<ProxyState>, client: TcpStream) {
    state.open.fetch_add(1, Ordering::AcqRel);
    // Registered first, so that no later cut is missed.
    let cut = state.cut.notified();
    tokio::select! {
        biased;
        () = cut => {}
        _ = serve_until_end(&state, client) => {}
    }
    state.open.fetch_sub(1, Ordering::AcqRel);
}

async fn serve_until_end(state: &Arc<ProxyState>, client: TcpStream) -> Result<(), Ended> {
    let server = *lock(&state.server);
    let server = TcpStream::connect(server).await.map_err(|_| Ended)?;
    for end in [&client, &server] {
        end.set_nodelay(true).map_err(|_| Ended)?;
    }
    let mut client_side = h2::server::Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(None)
        .handshake(client)
        .await?;
    let (to_server, server_side) = h2::client::Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_reset_streams(RESETS)
        .max_local_error_reset_streams(None)
        .handshake::<_, Bytes>(server)
        .await?;
    let calls = async {
        while let Some(call) = client_side.accept().await {
            let (request, respond) = call?;
            state.calls.fetch_add(1, Ordering::Relaxed);
            let (state, to_server) = (Arc::clone(state), to_server.clone());
            tokio::task::spawn(call_through(state, to_server, request, respond));
        }
        Ok(())
    };
    tokio::select! {
        biased;
        ended = calls => ended,
        ended = server_side => Ok(ended?),
    }
}

async fn call_through(
    state: Arc<ProxyState>,
    to_server: SendRequest<Bytes>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let method = request.uri().path().to_owned();
    let call = async {
        let mut to_server = to_server.ready().await?;
        let (head, body) = request.into_parts();
        let (response, stream) = to_server.send_request(Request::from_parts(head, ()), false)?;
        // A watch sends requests while its replies arrive.
        let requests = pass_requests(&state, &method, body, stream);
        let replies = async {
            let response = tokio::select! {
                biased;
                ended = reset_early(&mut respond) => ended?,
                response = response => response?,
            };
            pass_replies(&state, &method, response, &mut respond).await
        };
        // The call ends with its answer, even if the client could still send requests.
        tokio::select! {
            biased;
            ended = replies => ended,
            () = async { requests.await; std::future::pending().await } => Ok(()),
        }
    };
    if call.await.is_err() {
        respond.send_reset(Reason::CANCEL);
    }
}

async fn pass_requests(
    state: &ProxyState,
    method: &str,
    mut body: RecvStream,
    mut stream: SendStream<Bytes>,
) {
    let mut messages = Frames::default();
    let passed: Result<(), Ended> = async {
        while let Some(bytes) = body.data().await {
            let bytes = bytes?;
            let _ = body.flow_control().release_capacity(bytes.len());
            messages.push(&bytes);
            while let Some(frame) = messages.next() {
                let message = frames::message(&frame);
                if passes(state.fate(method, PartKind::Request, message)).await {
                    stream.send_data(frame, false)?;
                }
            }
        }
        Ok(stream.send_data(Bytes::new(), true)?)
    }
    .await;
    if passed.is_err() {
        stream.send_reset(Reason::CANCEL);
    }
}

async fn pass_replies(
    state: &ProxyState,
    method: &str,
    response: Response<RecvStream>,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Ended> {
    let (mut head, mut body) = response.into_parts();
    let headers = state.fate(method, PartKind::Headers, &[]);
    if headers == Fate::Poison {
        poison(&mut head.headers);
        let unavailable = HeaderValue::from_static("14");
        head.headers.insert("grpc-status", unavailable);
        respond.send_response(Response::from_parts(head, ()), true)?;
        return Ok(());
    }
    if !passes(headers).await {
        return reset_early(respond).await.map(drop);
    }
    let is_all = body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), is_all)?;
    if is_all {
        return Ok(());
    }
    let mut messages = Frames::default();
    loop {
        let bytes = tokio::select! {
            biased;
            ended = reset(&mut stream) => return ended,
            bytes = body.data() => bytes,
        };
        let Some(bytes) = bytes.transpose()? else {
            break;
        };
        let _ = body.flow_control().release_capacity(bytes.len());
        messages.push(&bytes);
        while let Some(frame) = messages.next() {
            let message = frames::message(&frame);
            if passes(state.fate(method, PartKind::Reply, message)).await {
                stream.send_data(frame, false)?;
            }
        }
    }
    let mut trailers = body.trailers().await?.unwrap_or_default();
    let fate = state.fate(method, PartKind::Trailers, &[]);
    if fate == Fate::Poison {
        poison(&mut trailers);
    }
    if !passes(fate).await {
        return reset(&mut stream).await;
    }
    Ok(stream.send_trailers(trailers)?)
}

/// Waits until the client cancels a call. The caller then drops the stream to etcd, which resets
/// it.
async fn reset(stream: &mut SendStream<Bytes>) -> Result<(), Ended> {
    let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
    Err(Ended)
}

/// Like [`reset`], for a call that has no answer yet.
async fn reset_early(respond: &mut SendResponse<Bytes>) -> Result<Response<RecvStream>, Ended> {
    let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
    Err(Ended)
}

/// Waits if the part is delayed; returns whether it is forwarded.
async fn passes(fate: Fate) -> bool {
    if let Fate::Delay(time) = fate {
        tokio::time::sleep(time).await;
    }
    fate != Fate::Swallow
}

fn poison(headers: &mut HeaderMap) {
    let value = HeaderValue::from_static("{not base64}");
    headers.insert("grpc-status-details-bin", value);
}
