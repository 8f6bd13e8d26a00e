//! Calls over a link: their order, and their end when the link ends.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use crate::address::Address;
use crate::environment::{Environment, Simulation};
use crate::error::{Executed, RequestError, RequestErrorKind as Kind};
use crate::message::{Body, EchoMsg};
use crate::registry::{Capabilities, Incarnation};
use crate::request::{MessageSet as _, Request};
use crate::route::calling::{PeerRoute, Pool};
use crate::route::conformance::{House, LIMIT, call, echo, pool, serve, serve_with};
use crate::route::link::announced_link;
use crate::route::serving::{ProcessServer, ServerConfig, WireBounds};
use crate::route::{Call, Route};

/// That of the servers of the suite.
pub(super) const INCARNATION: u64 = 7;

pub(super) type Calling = Pin<Box<dyn Future<Output = (Call, Result<Body, RequestError>)> + Send>>;

pub(super) struct LinkedWorld {
    pub(super) environment: Environment,
    pub(super) house: Arc<House>,
    pub(super) server: ProcessServer,
    pub(super) address: Address,
    pub(super) pool: Pool,
    pub(super) route: PeerRoute,
}

pub(super) fn linked(pool: &Pool, address: &Address) -> PeerRoute {
    linked_to(pool, address, INCARNATION)
}

/// The route to the process of this incarnation.
fn linked_to(pool: &Pool, address: &Address, incarnation: u64) -> PeerRoute {
    let link = Some(announced_link(Incarnation::new(incarnation)));
    pool.route(address, Capabilities::ACTORGRID.with_link(link))
}

pub(super) fn calling(route: &PeerRoute, receiver: &str, text: &str) -> Calling {
    sending(route, call(receiver, EchoMsg::new(text)))
}

pub(super) fn sending(route: &PeerRoute, mut call: Call) -> Calling {
    let route = route.clone();
    call.meta.token = Some("1:1".parse().unwrap());
    Box::pin(async move {
        let answer = route.call(&mut call).await;
        (call, answer)
    })
}

impl LinkedWorld {
    pub(super) async fn new() -> Self {
        let environment = Simulation::new(1).environment();
        let house: Arc<House> = Arc::default();
        house.echo("echo");
        let (server, address) = serve(&environment, &house, 0).await;
        let pool = pool(&environment);
        Self {
            route: linked(&pool, &address),
            environment,
            house,
            server,
            address,
            pool,
        }
    }

    pub(super) async fn end(self) {
        self.pool.close().await;
        self.server.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_to_one_mailbox_arrive_in_the_order_of_their_first_poll() {
    let world = LinkedWorld::new().await;
    let mut queue = world.house.queue("a");
    let mut other = world.house.queue("b");
    let mut calls = Vec::new();
    let mut expected = Vec::new();
    for number in 0..200 {
        // Each seventh has chunks.
        let length = if number % 7 == 0 {
            70_000 + number
        } else {
            number
        };
        let text = "x".repeat(length);
        let receiver = if number % 3 == 0 { "b" } else { "a" };
        let mut calling = calling(&world.route, receiver, &text);
        assert!(calling.as_mut().now_or_never().is_none());
        calls.push(calling);
        expected.push((receiver, length));
        if number == 50 {
            // The link opens meanwhile.
            world.environment.sleep(Duration::from_millis(1)).await;
        }
    }
    let answers = join_all(calls);
    let handles = async {
        let (mut from_a, mut from_b) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            tokio::select! {
                biased;
                Some(request) = queue.recv() => {
                    from_a.push(request.message().msg.len());
                    let _ = request.respond(EchoMsg::default());
                }
                Some(request) = other.recv() => {
                    from_b.push(request.message().msg.len());
                    let _ = request.respond(EchoMsg::default());
                }
            }
        }
        (from_a, from_b)
    };
    let (answers, (from_a, from_b)) = tokio::join!(answers, handles);
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
    let of = |receiver| -> Vec<usize> {
        let own = expected.iter().filter(|(to, _)| *to == receiver);
        own.map(|(_, length)| *length).collect()
    };
    assert_eq!((from_a, from_b), (of("a"), of("b")));
    assert_eq!(world.pool.connections().opened.get(), 1);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_polls_holds_up_only_its_own_receiver() {
    let world = LinkedWorld::new().await;
    let mut queue = world.house.queue("a");
    let texts = ["1", "2", "3"];
    let mut unpolled = texts.map(|text| calling(&world.route, "a", text));
    for call in &mut unpolled {
        assert!(call.as_mut().now_or_never().is_none());
    }
    let other = calling(&world.route, "echo", "hi");
    let limit = Duration::from_secs(1);
    let other = world.environment.timeout(limit, other).await;
    let (_, answer) = other.expect("it is behind calls that nobody polls");
    assert_eq!(echo(answer.unwrap()).msg, "hi");
    let handles = async {
        for text in texts {
            let request = queue.recv().await.unwrap();
            assert_eq!(request.message().msg, text);
            let _ = request.respond(EchoMsg::default());
        }
    };
    let (answers, ()) = tokio::join!(join_all(unpolled.into_iter().rev()), handles);
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn names_cached_of_the_process_before_do_not_disturb_the_link_to_the_present_one() {
    let world = LinkedWorld::new().await;
    for _ in 0..3 {
        let before = linked_to(&world.pool, &world.address, INCARNATION - 1);
        let (_, answer) = calling(&before, "echo", "hi").await;
        let error = answer.unwrap_err();
        assert_eq!(
            (error.kind(), error.executed()),
            (Kind::Unreachable, Executed::No)
        );
        let present = linked(&world.pool, &world.address);
        let (_, answer) = calling(&present, "echo", "hi").await;
        assert_eq!(echo(answer.unwrap()).msg, "hi");
    }
    assert_eq!(world.pool.connections().opened.get(), 1);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn calls_end_at_once_when_the_peer_is_gone() {
    let world = LinkedWorld::new().await;
    let mut queue = world.house.queue("a");
    let call = world.environment.spawn(calling(&world.route, "a", "x"));
    let request = queue.recv().await.unwrap();
    let began = world.environment.now();
    drop(world.server);
    let (call, answer) = call.await.unwrap();
    let error = answer.unwrap_err();
    assert_eq!(
        (error.kind(), error.executed(), call.executed),
        (Kind::ConnectionLost, Executed::Maybe, Executed::Maybe)
    );
    assert_eq!(world.environment.now(), began);
    drop(request);
    world.pool.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_shuts_down_executes_what_it_has_read_and_nothing_later() {
    let world = LinkedWorld::new().await;
    let mut queue = world.house.queue("a");
    let early = world.environment.spawn(calling(&world.route, "a", "early"));
    let request = queue.recv().await.unwrap();
    let route = world.route.clone();
    let ends = world.server.shutdown(Duration::from_secs(5));
    let calls = async {
        world.environment.sleep(Duration::from_millis(10)).await;
        let (_, late) = calling(&route, "a", "late").await;
        let error = late.unwrap_err();
        assert_eq!(
            (error.kind(), error.executed()),
            (Kind::Unreachable, Executed::No)
        );
        request.respond(EchoMsg::new("yes")).unwrap();
        let (_, answer) = early.await.unwrap();
        assert_eq!(echo(answer.unwrap()).msg, "yes");
    };
    tokio::join!(ends, calls);
    assert!(queue.try_recv().is_err());
    world.pool.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_is_withdrawn_and_the_next_one_works() {
    let world = LinkedWorld::new().await;
    world.house.unread("unread");
    for _ in 0..100 {
        let given_up = calling(&world.route, "unread", "x");
        let soon = world
            .environment
            .timeout(Duration::from_millis(1), given_up);
        assert!(soon.await.is_none());
        let (_, answer) = calling(&world.route, "echo", "hi").await;
        assert_eq!(echo(answer.unwrap()).msg, "hi");
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn where_no_link_comes_about_calls_go_over_grpc_at_once() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    house.echo("echo");
    let config = ServerConfig {
        namespace: crate::route::conformance::namespace(),
        max_message_bytes: LIMIT,
        bounds: WireBounds::default(),
        incarnation: None,
    };
    let serving = tokio::sync::watch::Sender::new(None).subscribe();
    let (server, address) = serve_with(&environment, &house, 0, serving, config).await;
    let pool = pool(&environment);
    let route = linked(&pool, &address);
    for most in [1000, 1] {
        let began = environment.now();
        let (_, answer) = calling(&route, "echo", "hi").await;
        assert_eq!(echo(answer.unwrap()).msg, "hi");
        let took = environment.now().since(began);
        assert!(took < Duration::from_millis(most), "{took:?}");
    }
    pool.close().await;
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_ends_its_calls() {
    let world = LinkedWorld::new().await;
    let mut queue = world.house.queue("a");
    let call = world.environment.spawn(calling(&world.route, "a", "x"));
    let mut request = queue.recv().await.unwrap();
    world.pool.close().await;
    let (_, answer) = call.await.unwrap();
    let error = answer.unwrap_err();
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::ClientClosed, Executed::Maybe)
    );
    request.abandoned().await;
    let (_, answer) = calling(&world.route, "a", "x").await;
    assert_eq!(answer.unwrap_err().kind(), Kind::ClientClosed);
    world.server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn each_request_is_accounted_for_while_its_peer_restarts() {
    const CALLERS: usize = 64;
    const CALLS: usize = 100;
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    let executed: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = executed.clone();
    house.open("a", move |incoming| {
        if let Some(request) = Request::<EchoMsg>::receive(incoming) {
            log.lock().unwrap().push(request.message().msg.clone());
            let _ = request.respond(EchoMsg::default());
        }
        Ok(())
    });
    let (mut server, address) = serve(&environment, &house, 0).await;
    let (_, port) = address.as_str().rsplit_once(':').unwrap();
    let port = port.parse().unwrap();
    let pool = pool(&environment);
    let route = linked(&pool, &address);
    let ended = AtomicUsize::new(0);
    let callers = (0..CALLERS).map(|caller| {
        let (route, ended) = (&route, &ended);
        async move {
            let mut outcomes = Vec::new();
            for number in 0..CALLS {
                let text = format!("{caller}.{number}");
                let (call, answer) = calling(route, "a", &text).await;
                let done = answer.map_or_else(|error| error.executed(), |_| Executed::Yes);
                assert_eq!(call.executed, done);
                outcomes.push((text, done));
                ended.fetch_add(1, Ordering::Relaxed);
            }
            outcomes
        }
    });
    let restarts = async {
        for restart in 1..=5 {
            while ended.load(Ordering::Relaxed) < restart * CALLERS * CALLS / 10 {
                tokio::task::yield_now().await;
            }
            server.shutdown(Duration::ZERO).await;
            (server, _) = serve(&environment, &house, port).await;
        }
        server
    };
    let (outcomes, server) = tokio::join!(join_all(callers), restarts);
    let executed = executed.lock().unwrap().clone();
    let mut each: Vec<_> = executed.iter().collect();
    each.sort_unstable();
    each.dedup();
    assert_eq!(each.len(), executed.len(), "a request was executed twice");
    for (text, done) in outcomes.iter().flatten() {
        match done {
            Executed::Yes => assert!(each.binary_search(&text).is_ok(), "{text} was lost"),
            Executed::No => assert!(each.binary_search(&text).is_err(), "{text} was executed"),
            Executed::Maybe => {}
        }
    }
    pool.close().await;
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_has_ended_is_not_kept_by_those_who_remember_it() {
    let world = LinkedWorld::new().await;
    let (_, answer) = calling(&world.route, "echo", "x").await;
    assert!(answer.is_ok());
    let remembered = world.route.open_link().unwrap().downgrade();
    assert!(remembered.upgrade().is_some());
    world.pool.close().await;
    drop(world.route);
    assert!(remembered.upgrade().is_none());
    world.server.shutdown(Duration::from_secs(5)).await;
}
