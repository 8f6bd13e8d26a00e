//! Calls to peers with which no link can be established: they go over gRPC, unless the peer is
//! another one than the registration says.

use std::sync::Arc;
use std::time::Duration;

use super::http2_proxy::{Http2Proxy, ToLinks};
use super::link::{INCARNATION, calling, linked};
use crate::address::Address;
use crate::environment::{Environment, Simulation};
use crate::error::{Executed, RequestError, RequestErrorKind as Kind};
use crate::registry::{Capabilities, Incarnation, LinkAnnouncement};
use crate::route::calling::{PeerRoute, Pool, PoolConfig};
use crate::route::conformance::{House, LIMIT, echo, namespace, pool, serve};
use crate::route::link::{GoAwayReason, announced_link};
use crate::route::serving::ProcessServer;

/// A call that does not wait for anything, in paused time.
const AT_ONCE: Duration = Duration::from_millis(1);
const A_SECOND: Duration = Duration::from_secs(1);

/// A peer behind a proxy, and its client.
struct ProxiedWorld {
    environment: Environment,
    house: Arc<House>,
    server: ProcessServer,
    proxy: Http2Proxy,
    pool: Pool,
    route: PeerRoute,
}

impl ProxiedWorld {
    async fn new(to_links: ToLinks) -> Self {
        Self::of(Simulation::new(1).environment(), to_links).await
    }

    async fn of(environment: Environment, to_links: ToLinks) -> Self {
        let house: Arc<House> = Arc::default();
        house.echo("echo");
        let (server, address) = serve(&environment, &house, 0).await;
        let proxy = Http2Proxy::of(&environment, address, to_links).await;
        let pool = pool(&environment);
        Self {
            route: linked(&pool, &proxy.address),
            environment,
            house,
            server,
            proxy,
            pool,
        }
    }

    /// Calls, and returns how long that took.
    async fn call(&self) -> Duration {
        let began = self.environment.now();
        let (_, answer) = calling(&self.route, "echo", "hi").await;
        assert_eq!(echo(answer.unwrap()).msg, "hi");
        self.environment.now().since(began)
    }

    async fn fail(&self) -> RequestError {
        fail(&self.route).await
    }

    async fn end(self) {
        self.pool.close().await;
        self.server.shutdown(Duration::from_secs(5)).await;
    }
}

/// A call that the peer certainly does not execute.
async fn fail(route: &PeerRoute) -> RequestError {
    let (call, answer) = calling(route, "echo", "hi").await;
    let error = answer.unwrap_err();
    assert_eq!(
        (error.executed(), call.executed),
        (Executed::No, Executed::No)
    );
    assert!(call.body.is_some());
    error
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_takes_no_links_costs_the_first_call_less_than_a_second() {
    for (to_links, most) in [
        (ToLinks::Closes, AT_ONCE),
        (ToLinks::IsSilent, A_SECOND),
        (ToLinks::AnswersInHttp2, AT_ONCE),
        (ToLinks::AnswersInHttp1, AT_ONCE),
        (ToLinks::GreetsInHttp2, A_SECOND),
        (ToLinks::GoesAway(GoAwayReason::Version), AT_ONCE),
        (ToLinks::GoesAway(GoAwayReason::Feature), AT_ONCE),
        (ToLinks::GoesAway(GoAwayReason::Protocol), AT_ONCE),
        (ToLinks::GoesAway(GoAwayReason::Other(31)), AT_ONCE),
        (ToLinks::GoesAway(GoAwayReason::Other(99)), AT_ONCE),
    ] {
        let world = ProxiedWorld::new(to_links).await;
        let took = world.call().await;
        println!("{to_links:?}: the first call takes {took:?}");
        assert!(took < most, "{to_links:?}: {took:?}");
        let took = world.call().await;
        assert!(took < AT_ONCE, "{to_links:?}: {took:?}");
        assert_eq!(world.proxy.greetings(), 1, "{to_links:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn a_proxy_that_passes_http_2_alone_costs_the_first_call_less_than_a_second() {
    for to_links in [
        ToLinks::Closes,
        ToLinks::IsSilent,
        ToLinks::AnswersInHttp2,
        ToLinks::GreetsInHttp2,
    ] {
        let world = ProxiedWorld::of(Environment::real(), to_links).await;
        let (first, second) = (world.call().await, world.call().await);
        println!("{to_links:?} over TCP: the first call takes {first:?}, the second {second:?}");
        assert!(first < A_SECOND, "{to_links:?}: {first:?}");
        assert_eq!(world.proxy.greetings(), 1, "{to_links:?}");
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_first_calls_at_once_wait_for_one_attempt() {
    let world = ProxiedWorld::new(ToLinks::IsSilent).await;
    let calls = (0..100).map(|_| world.call());
    for took in futures_util::future::join_all(calls).await {
        assert!(took < A_SECOND, "{took:?}");
    }
    assert_eq!(world.proxy.greetings(), 1);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn another_attempt_is_made_after_a_minute_and_no_call_waits_for_it() {
    let world = ProxiedWorld::new(ToLinks::IsSilent).await;
    world.call().await;
    // Each minute one attempt, with the next call.
    for attempts in 2..5 {
        world.environment.sleep(Duration::from_secs(58)).await;
        assert!(world.call().await < AT_ONCE);
        assert_eq!(world.proxy.greetings(), attempts - 1);
        world.environment.sleep(Duration::from_secs(2)).await;
        for _ in 0..3 {
            assert!(world.call().await < AT_ONCE);
        }
        world.environment.sleep(A_SECOND).await;
        assert_eq!(world.proxy.greetings(), attempts);
    }
    // The proxy learns to pass links on.
    world.proxy.set(ToLinks::Passes);
    world.environment.sleep(Duration::from_secs(61)).await;
    assert!(world.call().await < AT_ONCE);
    world.environment.sleep(AT_ONCE).await;
    let opened = world.pool.connections().opened.get();
    world.proxy.cut_http2();
    assert!(world.call().await < AT_ONCE);
    assert_eq!(
        world.pool.connections().opened.get(),
        opened,
        "over the link"
    );
    assert_eq!(world.proxy.greetings(), 5);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn versions_that_are_not_spoken_here_are_not_tried() {
    let world = ProxiedWorld::new(ToLinks::Passes).await;
    let spoken = announced_link(Incarnation::new(INCARNATION));
    for (oldest, newest, attempts) in [
        (spoken.newest + 1, spoken.newest + 3, 0),
        (u16::MAX, u16::MAX, 0),
        (spoken.newest, spoken.newest + 3, 1),
    ] {
        let link = LinkAnnouncement {
            oldest,
            newest,
            ..spoken
        };
        let capabilities = Capabilities::ACTORGRID.with_link(Some(link));
        let route = world.pool.route(&world.proxy.address, capabilities);
        let (_, answer) = calling(&route, "echo", "hi").await;
        assert_eq!(echo(answer.unwrap()).msg, "hi");
        assert_eq!(world.proxy.greetings(), attempts, "{oldest} to {newest}");
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn another_peer_or_one_that_takes_no_connections_now_is_not_called_over_grpc() {
    for to_links in [
        ToLinks::IsAnother(INCARNATION + 1, "test"),
        ToLinks::IsAnother(INCARNATION, "other"),
        ToLinks::GoesAway(GoAwayReason::Incarnation),
        ToLinks::GoesAway(GoAwayReason::Namespace),
        ToLinks::GoesAway(GoAwayReason::Untrusted),
        ToLinks::GoesAway(GoAwayReason::Shutdown),
        ToLinks::GoesAway(GoAwayReason::Replaced),
        ToLinks::GoesAway(GoAwayReason::Timeout),
        ToLinks::GoesAway(GoAwayReason::Internal),
        ToLinks::GoesAway(GoAwayReason::Other(15)),
    ] {
        let world = ProxiedWorld::new(to_links).await;
        let mut queue = world.house.queue("echo");
        for attempts in 1..3 {
            let error = world.fail().await;
            assert_eq!(error.kind(), Kind::Unreachable, "{to_links:?}");
            assert!(error.is_retryable());
            // Where a newer link may be possible, there is one more attempt.
            assert!(world.proxy.greetings() >= attempts, "{to_links:?}");
        }
        assert!(queue.try_recv().is_err(), "{to_links:?}");
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_address_of_another_process_or_of_another_grid_is_not_called_over_grpc() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    let mut queue = house.queue("echo");
    let (server, address) = serve(&environment, &house, 0).await;
    let of_namespace = |namespace: &str, incarnation| {
        let config = PoolConfig {
            mailbox_prefix: "test.mailbox.".to_owned(),
            max_message_bytes: LIMIT,
            connections_per_peer: 1,
            link_namespace: Some(namespace.to_owned()),
        };
        let pool = Pool::new(environment.clone(), config);
        let route = route_to(&pool, &address, incarnation);
        (pool, route)
    };
    for (namespace, incarnation) in [
        (namespace().as_str(), INCARNATION + 1),
        ("other", INCARNATION),
    ] {
        let (pool, route) = of_namespace(namespace, incarnation);
        assert_eq!(fail(&route).await.kind(), Kind::Unreachable);
        pool.close().await;
    }
    assert!(queue.try_recv().is_err());
    server.shutdown(Duration::from_secs(5)).await;
}

fn route_to(pool: &Pool, address: &Address, incarnation: u64) -> PeerRoute {
    let link = announced_link(Incarnation::new(incarnation));
    pool.route(address, Capabilities::ACTORGRID.with_link(Some(link)))
}

/// It may be frozen, with requests in the older link.
#[tokio::test(start_paused = true)]
async fn a_peer_that_had_a_link_is_not_called_over_grpc_for_a_while() {
    let world = ProxiedWorld::new(ToLinks::Passes).await;
    world.call().await;
    world.proxy.set(ToLinks::IsSilent);
    world.proxy.cut_links();
    let began = world.environment.now();
    let mut failed = 0;
    let took = loop {
        let (call, answer) = calling(&world.route, "echo", "hi").await;
        let took = world.environment.now().since(began);
        match answer {
            Ok(_) => break took,
            Err(error) if call.executed == Executed::Maybe => {
                // That the link is cut is found with the first call.
                assert_eq!((error.kind(), failed), (Kind::ConnectionLost, 0));
            }
            Err(error) => {
                let outcome = (error.kind(), error.executed());
                assert_eq!(outcome, (Kind::Unreachable, Executed::No));
            }
        }
        failed += 1;
    };
    let bounds = Duration::from_secs(15)..Duration::from_secs(17);
    assert!(bounds.contains(&took), "{took:?}");
    assert!(world.call().await < AT_ONCE);
    world.end().await;
}
