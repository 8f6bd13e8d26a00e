//! The standard health service: its bytes, its streams, and checks of other peers.

use std::sync::atomic::{AtomicBool, Ordering};

use h2::RecvStream;
use tokio::sync::watch;

use super::*;
use crate::route::Admission;
use crate::route::calling::HealthStream;
use crate::route::conformance::serve_as;
use crate::route::serving::ProcessServer;
use crate::wire::health::health_check_response::ServingStatus::{
    self, NotServing, ServiceUnknown, Serving,
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// A request for the peer itself, and one for a service "x".
const OF_PEER: &[u8] = &[0, 0, 0, 0, 0];
const OF_X: &[u8] = &[0, 0, 0, 0, 3, 0x0a, 1, b'x'];
const OF_READY: &[u8] = &[0, 0, 0, 0, 7, 0x0a, 5, b'r', b'e', b'a', b'd', b'y'];
const OF_LIVE: &[u8] = &[0, 0, 0, 0, 6, 0x0a, 4, b'l', b'i', b'v', b'e'];
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
const NOT_SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 2];
const SERVICE_UNKNOWN: &[u8] = &[0, 0, 0, 0, 2, 8, 3];

const SECOND: Duration = Duration::from_secs(1);

/// A fence that a test controls.
struct Gate(AtomicBool);

impl Admission for Gate {
    fn admits(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

struct World {
    environment: Environment,
    serving: watch::Sender<Option<Arc<dyn Admission>>>,
    house: Arc<House>,
    server: ProcessServer,
    address: Address,
}

impl World {
    async fn new(environment: Environment) -> Self {
        let serving = watch::Sender::new(None);
        let house: Arc<House> = Arc::default();
        let (server, address) = serve_as(&environment, &house, 0, serving.subscribe()).await;
        Self {
            environment,
            serving,
            house,
            server,
            address,
        }
    }

    async fn simulated() -> Self {
        Self::new(Simulation::new(1).environment()).await
    }

    fn set(&self, serves: bool) {
        let gate = || Arc::new(Gate(AtomicBool::new(true))) as Arc<dyn Admission>;
        self.serving.send_replace(serves.then(gate));
    }
}

fn with_header(path: &str, name: &'static str, value: &'static str) -> Request<()> {
    let mut request = request(path);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// Opens a stream of statuses.
async fn open(sender: &Sender, request: Request<()>, body: &'static [u8]) -> RecvStream {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    stream.send_data(Bytes::from_static(body), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(!response.headers().contains_key("grpc-status"));
    response.into_body()
}

/// Returns the next bytes of a stream; `None` at its end.
async fn next(body: &mut RecvStream) -> Option<Bytes> {
    let data = body.data().await?.unwrap();
    body.flow_control().release_capacity(data.len()).unwrap();
    Some(data)
}

async fn is_silent(environment: &Environment, body: &mut RecvStream, time: Duration) -> bool {
    environment.timeout(time, body.data()).await.is_none()
}

#[tokio::test(start_paused = true)]
async fn check_answers_the_bytes_that_a_grpc_client_reads() {
    let world = World::simulated().await;
    let sender = raw(&world.environment, &world.address).await;
    for (serves, bytes) in [(false, NOT_SERVING), (true, SERVING), (false, NOT_SERVING)] {
        world.set(serves);
        let mut body = open(&sender, request(CHECK), OF_PEER).await;
        assert_eq!(next(&mut body).await.unwrap(), bytes);
        assert_eq!(next(&mut body).await, None);
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers.len(), 1);
    }
    // In the headers alone, with nothing after them.
    let response = send(&sender, request(CHECK), Some(Bytes::from_static(OF_X))).await;
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let found = grpc(response.headers());
    assert_eq!(found, ("5".to_owned(), "unknown service".to_owned()));
    assert!(response.body().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ready_follows_the_peer_and_live_its_process() {
    let world = World::simulated().await;
    let sender = raw(&world.environment, &world.address).await;
    let mut live = open(&sender, request(WATCH), OF_LIVE).await;
    assert_eq!(next(&mut live).await.unwrap(), SERVING);
    let mut ready = open(&sender, request(WATCH), OF_READY).await;
    assert_eq!(next(&mut ready).await.unwrap(), NOT_SERVING);
    for serves in [true, false, true] {
        world.set(serves);
        let of_ready = if serves { SERVING } else { NOT_SERVING };
        assert_eq!(next(&mut ready).await.unwrap(), of_ready);
        for (service, bytes) in [
            (OF_PEER, of_ready),
            (OF_READY, of_ready),
            (OF_LIVE, SERVING),
        ] {
            let check = request(CHECK);
            let response = send(&sender, check, Some(Bytes::from_static(service))).await;
            assert_eq!(response.body(), bytes);
        }
    }
    assert!(is_silent(&world.environment, &mut live, SECOND).await);
    let ended = async {
        assert_eq!(next(&mut live).await.unwrap(), NOT_SERVING);
        assert_eq!(next(&mut live).await, None);
    };
    tokio::join!(world.server.shutdown(SECOND), ended);
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_time_is_over_does_not_serve_though_nobody_has_noticed() {
    let world = World::simulated().await;
    let gate = Arc::new(Gate(AtomicBool::new(true)));
    world.serving.send_replace(Some(gate.clone()));
    let sender = raw(&world.environment, &world.address).await;
    for bytes in [SERVING, NOT_SERVING] {
        let check = request(CHECK);
        let response = send(&sender, check, Some(Bytes::from_static(OF_PEER))).await;
        assert_eq!(response.body(), bytes);
        let mut watch = open(&sender, request(WATCH), OF_PEER).await;
        assert_eq!(next(&mut watch).await.unwrap(), bytes);
        gate.0.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_reports_each_change_once_and_ends_in_order_with_the_server() {
    let world = World::simulated().await;
    let sender = raw(&world.environment, &world.address).await;
    let mut watch = open(&sender, request(WATCH), OF_PEER).await;
    let mut unknown = open(&sender, request(WATCH), OF_X).await;
    assert_eq!(next(&mut unknown).await.unwrap(), SERVICE_UNKNOWN);
    assert_eq!(next(&mut watch).await.unwrap(), NOT_SERVING);
    for _ in 0..2 {
        world.set(true);
        assert_eq!(next(&mut watch).await.unwrap(), SERVING);
        // Another session serves now: clients see no difference.
        world.set(true);
        assert!(is_silent(&world.environment, &mut watch, SECOND).await);
        world.set(false);
        assert_eq!(next(&mut watch).await.unwrap(), NOT_SERVING);
        world.set(false);
        assert!(is_silent(&world.environment, &mut watch, SECOND).await);
    }
    world.set(true);
    assert_eq!(next(&mut watch).await.unwrap(), SERVING);
    // Without a timeout it is unbounded.
    let hours = Duration::from_secs(10 * 3600);
    assert!(is_silent(&world.environment, &mut watch, hours).await);
    assert!(is_silent(&world.environment, &mut unknown, SECOND).await);

    let begun = world.environment.now();
    let client = async {
        assert_eq!(next(&mut watch).await.unwrap(), NOT_SERVING);
        for mut stream in [watch, unknown] {
            assert_eq!(next(&mut stream).await, None);
            let trailers = stream.trailers().await.unwrap().unwrap();
            assert_eq!(trailers["grpc-status"], "0");
            assert_eq!(trailers.len(), 1);
        }
        drop(sender);
    };
    tokio::join!(world.server.shutdown(60 * SECOND), client);
    let took = world.environment.now().since(begun);
    assert!(took < SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_watch_is_kept() {
    let world = World::simulated().await;
    let sender = raw(&world.environment, &world.address).await;
    // Even longer than the longest deadline of a request.
    for (text, time) in [("300m", SECOND * 3 / 10), ("5H", SECOND * 5 * 3600)] {
        let begun = world.environment.now();
        let watch = with_header(WATCH, "grpc-timeout", text);
        let mut watch = open(&sender, watch, OF_PEER).await;
        assert_eq!(next(&mut watch).await.unwrap(), NOT_SERVING);
        assert_eq!(next(&mut watch).await, None);
        let trailers = watch.trailers().await.unwrap().unwrap();
        assert_eq!(grpc(&trailers).0, "4");
        let took = world.environment.now().since(begun);
        assert!(took >= time && took < time + SECOND / 10, "{took:?}");
    }
    // A client that sends nothing is not awaited either.
    for (path, request, least) in [
        (CHECK, with_header(CHECK, "grpc-timeout", "1S"), SECOND),
        (WATCH, with_header(WATCH, "grpc-timeout", "1S"), SECOND),
        // Without a timeout, as long as for any message.
        (WATCH, request(WATCH), 5 * SECOND),
    ] {
        let begun = world.environment.now();
        let mut sender = sender.clone().ready().await.unwrap();
        let (response, _open) = sender.send_request(request, false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(grpc(response.headers()).0, "4", "{path}");
        let took = world.environment.now().since(begun);
        assert!(took >= least && took < least + SECOND / 10, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn health_has_the_edges_of_every_method() {
    let world = World::simulated().await;
    let sender = raw(&world.environment, &world.address).await;
    let large = framed(&[0; 4 * 1024 + 1]);
    for path in [CHECK, WATCH] {
        for (request, status) in [
            (with_header(path, "content-type", "application/json"), 415),
            (with_header(path, "grpc-timeout", "soon"), 400),
        ] {
            let response = send(&sender, request, Some(OF_PEER.into())).await;
            assert_eq!(response.status(), status);
        }
        let gzip = with_header(path, "grpc-encoding", "gzip");
        for (request, body, code, text) in [
            (gzip, Some(OF_PEER.into()), "12", "grpc: Decompressor"),
            (request(path), None, "13", "grpc: the request holds no"),
            (request(path), Some(framed(b"\xff")), "13", "grpc: error un"),
            (
                request(path),
                Some(large.clone()),
                "8",
                "grpc: received message larger than max (4097 vs. 4096)",
            ),
        ] {
            let response = send(&sender, request, body).await;
            let (found, message) = grpc(response.headers());
            let expected = found == code && message.starts_with(text);
            assert!(expected, "{found} {message}");
        }
    }
    let list = request("/grpc.health.v1.Health/List");
    let response = send(&sender, list, Some(OF_PEER.into())).await;
    assert_eq!(grpc(response.headers()).0, "12");
}

#[tokio::test(start_paused = true)]
async fn nothing_piles_up_before_a_slow_reader() {
    let world = World::simulated().await;
    let socket = world.environment.connect(&world.address).await.unwrap();
    // Room for one status.
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(u32::try_from(SERVING.len()).unwrap());
    let (sender, connection) = builder.handshake(socket).await.unwrap();
    world.environment.spawn(connection);
    let mut watch = open(&sender, request(WATCH), OF_PEER).await;
    let first = watch.data().await.unwrap().unwrap();
    assert_eq!(first, NOT_SERVING);
    for serves in [true, false].repeat(1_000) {
        world.set(serves);
        tokio::task::yield_now().await;
    }
    world.set(true);
    watch.flow_control().release_capacity(first.len()).unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), SERVING);
    assert!(is_silent(&world.environment, &mut watch, SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_watches_on_one_connection_learn_of_each_change() {
    let world = World::simulated().await;
    world.house.echo("a");
    let pool = pool(&world.environment);
    let route = pool
        .route(&world.address, Capabilities::ACTORGRID)
        .into_process();
    let mut watches = Vec::new();
    for _ in 0..1_000 {
        watches.push(route.watch_health().await.unwrap());
    }
    let expect = async |watches: &mut Vec<HealthStream>, status: ServingStatus| {
        for watch in watches {
            let next = world.environment.timeout(SECOND, watch.next()).await;
            assert_eq!(next.unwrap().unwrap(), Some(status));
        }
    };
    expect(&mut watches, NotServing).await;
    world.set(true);
    expect(&mut watches, Serving).await;
    // Half of them disconnect, and the connection stays open.
    watches.truncate(500);
    let mut call = call("a", EchoMsg::new("x"));
    assert_eq!(echo(route.call(&mut call).await.unwrap()).msg, "x");
    // The statuses in between do not matter.
    for serves in [false, true].repeat(10) {
        world.set(serves);
        world.environment.sleep(SECOND / 100).await;
    }
    world.set(false);
    world.environment.sleep(SECOND / 100).await;
    expect(&mut watches, NotServing).await;
    let begun = world.environment.now();
    let ((), ()) = tokio::join!(world.server.shutdown(60 * SECOND), async {
        for watch in &mut watches {
            assert_eq!(watch.next().await.unwrap(), None);
            assert_eq!(watch.next().await.unwrap(), None);
        }
        pool.close().await;
    });
    let took = world.environment.now().since(begun);
    assert!(took < SECOND, "{took:?}");
}

#[tokio::test]
async fn a_check_is_repeated_over_a_connection_that_turned_out_dead() {
    let environment = Environment::real();
    let world = World::new(environment.clone()).await;
    let pool = pool(&environment);
    let route = pool
        .route(&world.address, Capabilities::ACTORGRID)
        .into_process();
    let deadline = || Deadline::after(10 * SECOND);
    let found = route.check_health(deadline()).await.unwrap();
    assert_eq!(found, NotServing);
    world.set(true);
    let World {
        serving,
        house,
        server,
        address,
        ..
    } = world;
    drop(server);
    // The port becomes free only a moment later.
    let listening = format!("127.0.0.1:{}", address.port()).parse().unwrap();
    while environment.listen(listening).await.is_err() {
        tokio::task::yield_now().await;
    }
    let (_server, _) = serve_as(&environment, &house, address.port(), serving.subscribe()).await;
    let found = route.check_health(deadline()).await.unwrap();
    assert_eq!(found, Serving);
}

/// Creates a server that answers each request with this.
async fn strange(
    environment: &Environment,
    with: impl Fn(&mut h2::server::SendResponse<Bytes>) + Send + 'static,
) -> Address {
    strange_peer(environment, |socket| async move {
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let mut kept = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            with(&mut respond);
            kept.push((request, respond));
        }
    })
    .await
}

fn grpc_headers(status: Option<&str>) -> Response<()> {
    let mut response = Response::builder().header("content-type", "application/grpc");
    if let Some(status) = status {
        response = response.header("grpc-status", status);
    }
    response.body(()).unwrap()
}

fn trailers_of(status: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers
}

/// The outcome of a check, or one item of a watch: a status, or the error that ended it.
type Outcome = Result<ServingStatus, Kind>;

/// An answer of a health service: its status, whether that is in the headers alone, its body, and
/// the outcomes of a check and a watch.
type StrangeAnswer = (&'static str, bool, &'static [u8], Outcome, Vec<Outcome>);

fn strange_answers() -> Vec<StrangeAnswer> {
    vec![
        // grpc-go, serving; it may put several messages into one frame.
        ("0", false, SERVING, Ok(Serving), vec![Ok(Serving)]),
        (
            "0",
            false,
            &[0, 0, 0, 0, 0],
            Ok(ServingStatus::Unknown),
            vec![Ok(ServingStatus::Unknown)],
        ),
        (
            "0",
            false,
            &[0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 2, 8, 2],
            Err(Kind::UnexpectedReply),
            vec![Ok(NotServing)],
        ),
        // A status of a later version.
        (
            "0",
            false,
            &[0, 0, 0, 0, 2, 8, 9],
            Ok(ServingStatus::Unknown),
            vec![Ok(ServingStatus::Unknown)],
        ),
        ("14", false, SERVING, Err(Kind::Unreachable), {
            vec![Ok(Serving), Err(Kind::Unreachable)]
        }),
        // No health service there, or none for the peer as a whole.
        (
            "12",
            true,
            &[],
            Ok(ServiceUnknown),
            vec![Ok(ServiceUnknown)],
        ),
        ("5", true, &[], Ok(ServiceUnknown), vec![Ok(ServiceUnknown)]),
        (
            "5",
            false,
            &[],
            Ok(ServiceUnknown),
            vec![Ok(ServiceUnknown)],
        ),
        ("0", true, &[], Err(Kind::UnexpectedReply), vec![]),
        ("7", true, &[], Err(Kind::Unknown), vec![Err(Kind::Unknown)]),
        (
            "4",
            true,
            &[],
            Err(Kind::DeadlineExceeded),
            vec![Err(Kind::DeadlineExceeded)],
        ),
        (
            "0",
            false,
            &[1, 0, 0, 0, 0],
            Err(Kind::UnexpectedReply),
            vec![Err(Kind::UnexpectedReply)],
        ),
        (
            "0",
            false,
            &[0, 0, 1, 0, 0],
            Err(Kind::UnexpectedReply),
            vec![Err(Kind::UnexpectedReply)],
        ),
        (
            "0",
            false,
            &[0, 0, 0, 0, 2, 8],
            Err(Kind::ConnectionLost),
            vec![Err(Kind::ConnectionLost)],
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn other_health_services_are_understood() {
    let environment = Simulation::new(1).environment();
    for (status, in_headers, body, check, watch) in strange_answers() {
        let text = status.to_owned();
        let peer = strange(&environment, move |respond| {
            if in_headers {
                let response = grpc_headers(Some(&text));
                respond.send_response(response, true).unwrap();
                return;
            }
            let mut stream = respond.send_response(grpc_headers(None), false).unwrap();
            stream.send_data(Bytes::from_static(body), false).unwrap();
            stream.send_trailers(trailers_of(&text)).unwrap();
        })
        .await;
        let pool = pool(&environment);
        let route = pool.route(&peer, Capabilities::ACTORGRID).into_process();
        let found = route.check_health(Deadline::after(SECOND)).await;
        assert_eq!(
            found.map_err(|error| error.kind()),
            check,
            "{status} {body:?}"
        );
        let mut states = Vec::new();
        let mut stream = route.watch_health().await.unwrap();
        loop {
            match stream.next().await {
                Ok(Some(state)) => states.push(Ok(state)),
                Ok(None) => break,
                Err(error) => {
                    states.push(Err(error.kind()));
                    break;
                }
            }
        }
        assert_eq!(states, watch, "{status} {body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_grpc_is_of_unknown_health() {
    let environment = Simulation::new(1).environment();
    let peer = strange(&environment, |respond| {
        let response = Response::builder().status(503).body(()).unwrap();
        respond.send_response(response, true).unwrap();
    })
    .await;
    let pool = pool(&environment);
    let Err(error) = pool
        .route(&peer, Capabilities::ACTORGRID)
        .into_process()
        .watch_health()
        .await
    else {
        panic!("a health service")
    };
    assert_eq!(error.kind(), Kind::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_a_frozen_peer_breaks_within_seven_seconds() {
    let environment = Simulation::new(1).environment();
    let peer = strange_peer(&environment, |socket| async move {
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let mut stream = respond.send_response(grpc_headers(None), false).unwrap();
        stream.send_data(SERVING.into(), false).unwrap();
        // Alive for as long as it is polled.
        let _ = tokio::time::timeout(60 * SECOND, connection.accept()).await;
        std::future::pending::<()>().await;
    })
    .await;
    let pool = pool(&environment);
    let mut stream = pool
        .route(&peer, Capabilities::ACTORGRID)
        .into_process()
        .watch_health()
        .await
        .unwrap();
    assert_eq!(stream.next().await.unwrap(), Some(Serving));
    let begun = environment.now();
    let error = stream.next().await.unwrap_err();
    assert_eq!(error.kind(), Kind::ConnectionLost);
    let took = environment.now().since(begun);
    assert!(took > 60 * SECOND && took <= 67 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_the_pool_that_it_came_from() {
    let world = World::simulated().await;
    let pool = pool(&world.environment);
    let mut stream = pool
        .route(&world.address, Capabilities::ACTORGRID)
        .into_process()
        .watch_health()
        .await
        .unwrap();
    assert_eq!(stream.next().await.unwrap(), Some(NotServing));
    pool.close().await;
    let error = stream.next().await.unwrap_err();
    assert_eq!(error.kind(), Kind::ClientClosed);
}
