//! The gRPC service that echoes, and connections to it.
//!
//! The code that tonic would generate from a proto file is written by hand, to need no `protoc`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bench_kit::{BoxError, EchoOptions, Served};
use futures_core::Stream;
use futures_core::future::BoxFuture;
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::echo_content::EchoContent;

/// Above the large messages and their envelope.
pub(super) const MAX_MESSAGE: usize = 8 << 20;
const UNARY: &str = "/bench.Echo/Unary";
const STREAM: &str = "/bench.Echo/Stream";
/// The windows of one stream and of the connection: the defaults of 64 KiB would measure how often
/// they are opened.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// The settings that the report names.
pub(super) const SETTINGS: &str =
    "TCP_NODELAY, windows of 8 MiB a stream and 32 MiB a connection, one connection";

pub(super) fn unary_path() -> PathAndQuery {
    PathAndQuery::from_static(UNARY)
}

pub(super) fn stream_path() -> PathAndQuery {
    PathAndQuery::from_static(STREAM)
}

pub(super) fn codec() -> ProstCodec<EchoContent, EchoContent> {
    ProstCodec::default()
}

/// Serves both methods.
pub(super) async fn serve(_options: &EchoOptions) -> Result<Served, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_with_incoming(EchoService, incoming);
    tokio::spawn(serving);
    Ok(Served::at(address))
}

/// Connects to what serves at an address.
pub(super) async fn connect(address: &str) -> Result<Channel, BoxError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    Ok(endpoint.connect().await?)
}

#[derive(Debug, Clone, Copy)]
struct EchoService;

impl tower_service::Service<http::Request<Body>> for EchoService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(codec()).max_decoding_message_size(MAX_MESSAGE);
            Ok(match request.uri().path() {
                UNARY => grpc.unary(EchoOnce, request).await,
                STREAM => grpc.streaming(EchoEach, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

struct EchoOnce;

impl UnaryService<EchoContent> for EchoOnce {
    type Response = EchoContent;
    type Future = Ready<Result<Response<EchoContent>, Status>>;

    fn call(&mut self, request: Request<EchoContent>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner().answered())))
    }
}

struct EchoEach;

impl StreamingService<EchoContent> for EchoEach {
    type Response = EchoContent;
    type ResponseStream = EchoStream;
    type Future = Ready<Result<Response<EchoStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<EchoContent>>) -> Self::Future {
        ready(Ok(Response::new(EchoStream(request.into_inner()))))
    }
}

/// Each message of a stream, answered as it is read: what was read together is sent together.
struct EchoStream(Streaming<EchoContent>);

impl Stream for EchoStream {
    type Item = Result<EchoContent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.0).poll_next(context);
        next.map(|next| next.map(|message| message.map(EchoContent::answered)))
    }
}
