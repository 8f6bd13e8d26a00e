//! The behaviour of the unary route alone: HTTP edge cases, connections that break, servers that
//! restart.

mod bounds;
mod cancelled;
mod health;
mod http2_proxy;
mod link;
mod link_bounds;
mod link_calling;
mod link_fallback;
mod link_frames;
mod link_frozen;
mod link_serving;
mod local_calls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};

use super::codec::frame::{Framed, PROCESS_PATH, frame_delivery};
use super::codec::status;
use crate::address::Address;
use crate::environment::{Deadline, Environment, Simulation, Socket};
use crate::error::{Executed, RequestErrorKind as Kind};
use crate::message::EchoMsg;
use crate::registry::Capabilities;
use crate::route::conformance::{House, LIMIT, call, echo, pool, pool_with, serve};
use crate::route::{Call, Route};

type Sender = h2::client::SendRequest<Bytes>;

async fn raw(environment: &Environment, address: &Address) -> Sender {
    let socket = environment.connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(socket).await.unwrap();
    environment.spawn(connection);
    sender
}

fn request(path: &str) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("http://peer{path}").parse().unwrap();
    let headers = request.headers_mut();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    request
}

async fn send(sender: &Sender, request: Request<()>, body: Option<Bytes>) -> Response<Bytes> {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, mut stream) = sender.send_request(request, body.is_none()).unwrap();
    if let Some(body) = body {
        stream.send_data(body, true).unwrap();
    }
    let (parts, mut body) = response.await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend(data);
    }
    Response::from_parts(parts, bytes.into())
}

fn grpc(headers: &HeaderMap) -> (String, String) {
    let mut headers = headers.clone();
    let status = status::of_headers(&mut headers).unwrap();
    (
        (status.code() as i32).to_string(),
        status.message().to_owned(),
    )
}

fn framed(bytes: &[u8]) -> Bytes {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], &length[..], bytes].concat().into()
}

fn all(mut framed: Framed) -> Bytes {
    let length = bytes::Buf::remaining(&framed);
    bytes::Buf::copy_to_bytes(&mut framed, length)
}

fn with(name: &'static str, value: &'static str) -> Request<()> {
    let mut request = request(PROCESS_PATH);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn delivery_to(receiver: &str, type_name: &str, data: &'static [u8]) -> Bytes {
    let data = Bytes::from_static(data);
    all(frame_delivery(&data, type_name, receiver))
}

fn echo_delivery() -> Bytes {
    let type_name = "github.com/lytics/grid/v3/EchoMsg";
    delivery_to("test.mailbox.a", type_name, b"\x0a\x01x")
}

#[tokio::test(start_paused = true)]
async fn answers_at_the_edges_of_http_as_the_go_library_does() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    house.echo("a");
    let (server, address) = serve(&environment, &house, 0).await;
    let sender = raw(&environment, &address).await;
    for (request, status) in [
        (with("content-type", "application/json"), 415),
        (with("grpc-timeout", "soon"), 400),
    ] {
        let response = send(&sender, request, Some(echo_delivery())).await;
        assert_eq!(response.status(), status);
    }
    let response = send(&sender, request(PROCESS_PATH), Some(echo_delivery())).await;
    assert_eq!(response.status(), 200);
    assert!(response.body().ends_with(b"EchoMsg"));
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn refuses_bad_calls_with_the_codes_and_texts_of_the_go_library() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    house.echo("a");
    let (server, address) = serve(&environment, &house, 0).await;
    let sender = raw(&environment, &address).await;
    let message = || Some(echo_delivery());
    let no_message = "grpc: the request holds no message";
    let unknown_mailbox = "grid: unknown mailbox";
    let other_grid = delivery_to("other.mailbox.a", "t", b"");
    let other_type = delivery_to("test.mailbox.a", "t", b"");
    let to = request;
    for (request, body, code, text) in [
        (
            with("grpc-encoding", "gzip"),
            message(),
            "12",
            "grpc: Decompressor",
        ),
        (to("/grid.wire/Other"), message(), "12", "unknown"),
        (to("/other/Process"), message(), "12", "unknown"),
        (to(PROCESS_PATH), None, "13", no_message),
        (to(PROCESS_PATH), Some(Bytes::new()), "13", no_message),
        (
            to(PROCESS_PATH),
            Some(framed(b"\xff")),
            "13",
            "grpc: error unmarshalling request: proto:",
        ),
        (to(PROCESS_PATH), Some(framed(b"")), "2", unknown_mailbox),
        (to(PROCESS_PATH), Some(other_grid), "2", unknown_mailbox),
        (
            to(PROCESS_PATH),
            Some(other_type),
            "2",
            "codec: unregistered message type",
        ),
        (
            to(PROCESS_PATH),
            Some(framed(&vec![0; LIMIT + 1])),
            "8",
            "grpc: received message larger than max (100001 vs. 100000)",
        ),
    ] {
        let response = send(&sender, request, body).await;
        assert_eq!(response.status(), 200);
        let (found, message) = grpc(response.headers());
        assert!(
            found == code && message.starts_with(text),
            "{found} {message} for {text}"
        );
    }
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_request_is_kept_by_the_server() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    let mut queue = house.queue("a");
    let (server, address) = serve(&environment, &house, 0).await;
    let sender = raw(&environment, &address).await;
    let message = all(frame_delivery(
        &Bytes::new(),
        "github.com/lytics/grid/v3/EchoMsg",
        "test.mailbox.a",
    ));
    let mut request = request(PROCESS_PATH);
    request
        .headers_mut()
        .insert("grpc-timeout", "300m".parse().unwrap());
    let response = send(&sender, request, Some(message)).await;
    assert_eq!(
        grpc(response.headers()),
        ("2".to_owned(), "grid: context finished".to_owned())
    );
    assert!(queue.recv().await.unwrap().is_abandoned());
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_speak_is_dropped() {
    let environment = Simulation::new(1).environment();
    let (server, address) = serve(&environment, &Arc::default(), 0).await;
    let mut silent = environment.connect(&address).await.unwrap();
    let mut read = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut read)
        .await
        .unwrap();
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn nothing_listens_there() {
    let environment = Environment::real();
    let listener = environment
        .listen("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = listener.local_addr().unwrap().try_into().unwrap();
    drop(listener);
    let pool = pool(&environment);
    let mut call = call("a", EchoMsg::new("still here"));
    let error = pool
        .route(&address, Capabilities::ACTORGRID)
        .call(&mut call)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::Unreachable, Executed::No)
    );
    assert_eq!(call.executed, Executed::No);
    assert_eq!(echo(call.body.unwrap()).msg, "still here");
}

/// Creates a peer that accepts one connection and runs `with` on it.
async fn strange_peer<F>(
    environment: &Environment,
    with: impl FnOnce(Socket) -> F + Send + 'static,
) -> Address
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut listener = environment
        .listen("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = listener.local_addr().unwrap().try_into().unwrap();
    environment.spawn(async move { with(listener.accept().await.unwrap()).await });
    address
}

/// Calls a peer that answers every request this way.
async fn answer_with(
    environment: Environment,
    with: impl Fn(&mut h2::server::SendResponse<Bytes>) + Send + 'static,
) -> (Call, crate::RequestError) {
    let peer = strange_peer(&environment, |socket| async move {
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let mut kept = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            with(&mut respond);
            kept.push((request, respond));
        }
    })
    .await;
    let pool = pool(&environment);
    let mut call = call("a", EchoMsg::default());
    let error = pool
        .route(&peer, Capabilities::ACTORGRID)
        .call(&mut call)
        .await
        .unwrap_err();
    (call, error)
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_was_not_executed() {
    let environment = Simulation::new(1).environment();
    let (call, error) = answer_with(environment, |respond| {
        respond.send_reset(h2::Reason::REFUSED_STREAM);
    })
    .await;
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::Unreachable, Executed::No)
    );
    assert_eq!(call.executed, Executed::No);
}

#[tokio::test(start_paused = true)]
async fn a_reset_stream_may_have_been_executed() {
    let environment = Simulation::new(1).environment();
    let (call, error) = answer_with(environment, |respond| {
        respond.send_reset(h2::Reason::CANCEL);
    })
    .await;
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::ConnectionLost, Executed::Maybe)
    );
    assert_eq!(call.executed, Executed::Maybe);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_no_peer_is_recognized() {
    let environment = Simulation::new(1).environment();
    let (_, error) = answer_with(environment, |respond| {
        let response = Response::builder().status(503).body(()).unwrap();
        respond.send_response(response, true).unwrap();
    })
    .await;
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::Unknown, Executed::Maybe)
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cut_within_a_request_is_lost() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    let mut queue = house.queue("a");
    let (server, address) = serve(&environment, &house, 0).await;
    let pool = pool(&environment);
    let route = pool.route(&address, Capabilities::ACTORGRID);
    let task = environment.spawn(async move {
        let mut call = call("a", EchoMsg::default());
        let error = route.call(&mut call).await.unwrap_err();
        (error, call.executed)
    });
    let mut request = queue.recv().await.unwrap();
    drop(server);
    let (error, executed) = task.await.unwrap();
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::ConnectionLost, Executed::Maybe)
    );
    assert_eq!(executed, Executed::Maybe);
    request.abandoned().await;
    assert!(request.deadline().remaining() > Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_found_dead() {
    let environment = Simulation::new(1).environment();
    let peer = strange_peer(&environment, |socket| async move {
        let connection = h2::server::handshake(socket).await.unwrap();
        std::future::pending::<()>().await;
        drop(connection);
    })
    .await;
    let pool = pool(&environment);
    let mut call = call("a", EchoMsg::default());
    let error = pool
        .route(&peer, Capabilities::ACTORGRID)
        .call(&mut call)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::ConnectionLost, Executed::Maybe)
    );
    let passed = Duration::from_secs(20) - call.meta.deadline.remaining();
    let bounds = Duration::from_secs(2)..Duration::from_secs(3);
    assert!(bounds.contains(&passed), "{passed:?}");
}

/// The listener acts as a kernel that has accepted for a peer which then shut down or hangs.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_a_peer_that_never_spoke() {
    for hangs in [true, false] {
        let environment = Simulation::new(1).environment();
        let peer = strange_peer(&environment, move |socket| async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            drop(socket);
        })
        .await;
        let pool = pool(&environment);
        let mut call = call("a", EchoMsg::default());
        let error = pool
            .route(&peer, Capabilities::ACTORGRID)
            .call(&mut call)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.executed()),
            (Kind::Unreachable, Executed::No)
        );
        assert!(call.meta.deadline.remaining() > Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_peer_that_restarts_is_reached_again() {
    let environment = Environment::real();
    let house: Arc<House> = Arc::default();
    house.echo("a");
    let (server, address) = serve(&environment, &house, 0).await;
    let pool = pool(&environment);
    let route = pool.route(&address, Capabilities::ACTORGRID);
    let mut first = call("a", EchoMsg::new("1"));
    assert_eq!(echo(route.call(&mut first).await.unwrap()).msg, "1");
    server.shutdown(Duration::from_secs(1)).await;
    let mut second = call("a", EchoMsg::new("2"));
    let error = route.call(&mut second).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    let (server, _) = serve(&environment, &house, address.port()).await;
    assert_eq!(echo(route.call(&mut second).await.unwrap()).msg, "2");
    pool.close().await;
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_answers_current_requests_and_cuts_the_rest_at_its_bound() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    let mut queue = house.queue("a");
    let (server, address) = serve(&environment, &house, 0).await;
    let pool = pool(&environment);
    let route = pool.route(&address, Capabilities::ACTORGRID);
    let start = || {
        let route = route.clone();
        environment.spawn(async move { route.call(&mut call("a", EchoMsg::default())).await })
    };
    let (answered, left) = (start(), start());
    let request = queue.recv().await.unwrap();
    let other = queue.recv().await.unwrap();
    let shutdown = environment.spawn(server.shutdown(Duration::from_secs(3)));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    request.respond(EchoMsg::new("in time")).unwrap();
    // The two calls may have arrived in any order.
    let (first, second) = tokio::join!(answered, left);
    let (first, second) = (first.unwrap(), second.unwrap());
    let (replied, cut) = if first.is_ok() {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!(echo(replied.unwrap()).msg, "in time");
    assert_eq!(cut.unwrap_err().kind(), Kind::ConnectionLost);
    assert!(other.is_abandoned());
    shutdown.await.unwrap();
}

#[tokio::test]
async fn thousands_of_cancelled_calls_leave_the_connection_usable() {
    let environment = Environment::real();
    let house: Arc<House> = Arc::default();
    let _queue = house.queue("silent");
    house.echo("a");
    let mut held = house.queue("held");
    let (server, address) = serve(&environment, &house, 0).await;
    let pool = pool(&environment);
    let route = pool.route(&address, Capabilities::ACTORGRID);
    // It would fail if the connection were replaced.
    let witness = {
        let route = route.clone();
        environment.spawn(async move { route.call(&mut call("held", EchoMsg::default())).await })
    };
    let request = held.recv().await.unwrap();
    for _ in 0..2 {
        let calls = (0..1000).map(|_| {
            let route = route.clone();
            async move {
                let mut call = call("silent", EchoMsg::default());
                let _ = tokio::time::timeout(Duration::from_millis(1), route.call(&mut call)).await;
            }
        });
        futures_util::future::join_all(calls).await;
    }
    for name in ["silent", "a"] {
        for _ in 0..1000 {
            let mut call = call(name, EchoMsg::default());
            let mut future = std::pin::pin!(route.call(&mut call));
            // Sent, and dropped while it is in flight.
            let _ = futures_util::poll!(future.as_mut());
            tokio::task::yield_now().await;
        }
    }
    let mut last = call("a", EchoMsg::new("alive"));
    assert_eq!(echo(route.call(&mut last).await.unwrap()).msg, "alive");
    request.respond(EchoMsg::new("same connection")).unwrap();
    assert_eq!(echo(witness.await.unwrap().unwrap()).msg, "same connection");
    pool.close().await;
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_rejects_calls_and_leaves_no_task() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    let mut queue = house.queue("a");
    let (server, address) = serve(&environment, &house, 0).await;
    let pool = pool(&environment);
    let route = pool.route(&address, Capabilities::ACTORGRID);
    let task = {
        let route = route.clone();
        environment.spawn(async move { route.call(&mut call("a", EchoMsg::default())).await })
    };
    let _request = queue.recv().await.unwrap();
    pool.close().await;
    let error = task.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::ClientClosed, Executed::Maybe)
    );
    let error = route
        .call(&mut call("a", EchoMsg::default()))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::ClientClosed, Executed::No)
    );
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_released_and_reopened() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    house.echo("a");
    let (server, address) = serve(&environment, &house, 0).await;
    let pool = pool(&environment);
    let route = pool.route(&address, Capabilities::ACTORGRID);
    for _ in 0..2 {
        let mut call = call("a", EchoMsg::new("x"));
        assert_eq!(echo(route.call(&mut call).await.unwrap()).msg, "x");
        environment.sleep(Duration::from_secs(1000)).await;
    }
    // No connection is left: nothing waits for its graceful end.
    server.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_sends_nothing() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    house.echo("a");
    let (_server, address) = serve(&environment, &house, 0).await;
    let mut call = call("a", EchoMsg::new("x"));
    call.meta.deadline = Deadline::after(Duration::ZERO);
    let error = pool(&environment)
        .route(&address, Capabilities::ACTORGRID)
        .call(&mut call)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::DeadlineExceeded, Executed::No)
    );
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_exact_for_clients_that_send_more() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    house.echo("a");
    let (server, address) = serve(&environment, &house, 0).await;
    let pool = pool_with(&environment, 2 * LIMIT);
    let route = pool.route(&address, Capabilities::ACTORGRID);
    // The text's tag and its length take 4 bytes.
    let mut largest = call("a", EchoMsg::new("x".repeat(LIMIT - 4)));
    assert!(route.call(&mut largest).await.is_ok());
    let mut larger = call("a", EchoMsg::new("x".repeat(LIMIT - 3)));
    let error = route.call(&mut larger).await.unwrap_err();
    let outcome = (error.kind(), error.executed());
    assert_eq!(outcome, (Kind::MessageTooLarge, Executed::No));
    pool.close().await;
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_streams_wait_for_their_turn() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    house.echo("a");
    let mut held = house.queue("held");
    let (server, address) = serve(&environment, &house, 0).await;
    let pool = pool(&environment);
    let route = pool.route(&address, Capabilities::ACTORGRID);
    let calls: Vec<_> = (0..1_500)
        .map(|i: u32| {
            let route = route.clone();
            environment.spawn(async move {
                let mut call = call("held", EchoMsg::new(i.to_string()));
                assert_eq!(
                    echo(route.call(&mut call).await.unwrap()).msg,
                    i.to_string()
                );
            })
        })
        .collect();
    let mut first = Vec::new();
    while first.len() < 1_024 {
        first.push(held.recv().await.unwrap());
    }
    environment.sleep(Duration::from_secs(1)).await;
    assert!(held.try_recv().is_err(), "another request has arrived");
    for request in first {
        let message = request.message().clone();
        request.respond(message).unwrap();
    }
    for _ in 1_024..1_500 {
        let request = held.recv().await.unwrap();
        let message = request.message().clone();
        request.respond(message).unwrap();
    }
    for call in calls {
        call.await.unwrap();
    }
    pool.close().await;
    server.shutdown(Duration::from_secs(1)).await;
}
