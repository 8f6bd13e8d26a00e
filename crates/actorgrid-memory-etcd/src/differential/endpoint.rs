//! A server under comparison, as a client reaches it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::body::Body;
use tower_service::Service;

use crate::wire::kv_client::KvClient;
use crate::wire::lease_client::LeaseClient;
use crate::wire::watch_client::WatchClient;

/// A connection, for the stubs.
#[derive(Clone)]
pub(super) struct Connection(http2::SendRequest<Body>);

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// The stubs of one server.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) kv: KvClient<Connection>,
    pub(super) lease: LeaseClient<Connection>,
    pub(super) watch: WatchClient<Connection>,
}

impl Endpoint {
    /// Connects, with a task that drives the connection until the test ends.
    #[allow(clippy::disallowed_methods)]
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
        let (requests, driver) = handshake.await.unwrap();
        tokio::spawn(driver);
        let origin: Uri = format!("http://{address}").parse().unwrap();
        let connection = || Connection(requests.clone());
        const BIG: usize = 64 << 20;
        Self {
            kv: KvClient::with_origin(connection(), origin.clone()).max_decoding_message_size(BIG),
            lease: LeaseClient::with_origin(connection(), origin.clone()),
            watch: WatchClient::with_origin(connection(), origin).max_decoding_message_size(BIG),
        }
    }
}
