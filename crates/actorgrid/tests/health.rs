//! The health of peers: what they report themselves, and what others find out.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::time::Duration;

use actorgrid::{
    ActorStart, ActorType, Health, HealthWatch, MemoryFault, MemoryOperation, RequestErrorKind,
    Server, ServerErrorKind, ServerState,
};
use futures_util::FutureExt as _;
use world::{MemoryWorld, World, echo_type, pass, secs};

world::on_both_registries! {
    a_watch_reports_the_whole_life_of_a_peer_and_of_the_next_one,
    a_peer_that_waits_for_its_address_says_that_it_does_not_serve,
    a_peer_that_drains_says_so_before_it_stops,
}

async fn expect(watch: &mut HealthWatch, health: Health) {
    let reported = tokio::time::timeout(secs(60), watch.next()).await;
    assert_eq!(reported.ok().flatten(), Some(health));
}

async fn bind(world: &World, address: &str) -> Server {
    world
        .server()
        .lease_ttl(secs(5))
        .bind(address)
        .await
        .unwrap()
}

/// Returns a free address, and the name of the peer at it.
async fn an_address(world: &World) -> (String, String) {
    let server = bind(world, "127.0.0.1:0").await;
    let found = (server.address().to_string(), server.peer().to_string());
    server.shutdown().await.unwrap();
    found
}

async fn a_watch_reports_the_whole_life_of_a_peer_and_of_the_next_one(world: World) {
    let (address, peer) = an_address(&world).await;
    let client = world.client();
    let mut watch = client.watch_health(&*peer).unwrap();
    expect(&mut watch, Health::Unregistered).await;
    let error = client.check_health(&*peer).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::UnknownName);
    for _ in 0..2 {
        let (server, served) = tokio::join!(
            async {
                pass(secs(1)).await;
                bind(&world, &address).await
            },
            client.wait_until_serving(&*peer, secs(20)),
        );
        served.unwrap();
        expect(&mut watch, Health::Serving).await;
        assert_eq!(client.check_health(&*peer).await.unwrap(), Health::Serving);
        // The peer's own client checks it in the same way as others do.
        let own = server.client().check_health(server.peer()).await.unwrap();
        assert_eq!(own, Health::Serving);
        server.shutdown().await.unwrap();
        expect(&mut watch, Health::NotServing).await;
        expect(&mut watch, Health::Unregistered).await;
    }
}

async fn a_peer_that_waits_for_its_address_says_that_it_does_not_serve(world: World) {
    let first = bind(&world, "127.0.0.1:0").await;
    let (address, peer) = (first.address().to_string(), first.peer().clone());
    // Like a crash: its keys stay until its lease has expired.
    drop(first);
    let client = world.client();
    let second = async {
        // It takes a moment until its socket is closed.
        loop {
            let server = world.server().lease_ttl(secs(5));
            let server = server.actor_type(echo_type("echo"));
            match server.bind(&address).await {
                Ok(server) => return server,
                Err(error) => assert_eq!(error.kind(), ServerErrorKind::Listen),
            }
            pass(Duration::from_millis(10)).await;
        }
    };
    let begun = world::clock();
    let others = async {
        pass(Duration::from_millis(500)).await;
        let mut watch = client.watch_health(&peer).unwrap();
        expect(&mut watch, Health::NotServing).await;
        let found = client.check_health(&peer).await.unwrap();
        assert_eq!(found, Health::NotServing);
        // The registration is that of the process before, which this peer says it is not. (The
        // client asks again until the deadline, which may pass while the peer answers; the start
        // below shows that none was executed.)
        let start = client.start(&peer, ActorStart::new("a", "echo"));
        let error = start.deadline(secs(1)).await.unwrap_err();
        let refused = [
            RequestErrorKind::Unreachable,
            RequestErrorKind::DeadlineExceeded,
        ];
        assert!(refused.contains(&error.kind()), "{error:?}");
        assert!(begun.elapsed() < secs(4), "{:?}", begun.elapsed());
        watch
    };
    let (second, mut watch) = tokio::join!(second, others);
    assert!(begun.elapsed() >= secs(3), "{:?}", begun.elapsed());
    expect(&mut watch, Health::Serving).await;
    client.wait_until_serving(&peer, secs(1)).await.unwrap();
    let start = client.start(&peer, ActorStart::new("a", "echo"));
    start.await.unwrap();
    second.shutdown().await.unwrap();
}

/// Creates an actor that takes this long to stop.
fn slow_to_stop(time: Duration) -> ActorType {
    ActorType::from_fn("slow", move |_start, ctx| async move {
        ctx.stopping().await;
        pass(time).await;
        Ok(())
    })
}

async fn a_peer_that_drains_says_so_before_it_stops(world: World) {
    let server = world.server().actor_type(slow_to_stop(secs(3)));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let start = ActorStart::new("s", "slow");
    client.start(server.peer(), start).await.unwrap();
    let mut watch = client.watch_health(server.peer()).unwrap();
    expect(&mut watch, Health::Serving).await;
    let begun = world::clock();
    let (stopped, ()) = tokio::join!(server.shutdown(), async {
        expect(&mut watch, Health::NotServing).await;
        assert_eq!(server.state(), ServerState::Draining);
        let found = client.check_health(server.peer()).await.unwrap();
        assert_eq!(found, Health::NotServing);
        assert!(begun.elapsed() < world.bound(secs(1)));
        expect(&mut watch, Health::Unregistered).await;
    });
    stopped.unwrap();
    // Neither the stream nor its connection delayed the shutdown.
    let took = begun.elapsed();
    assert!(took >= secs(3) && took < world.bound(secs(4)), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_fenced_does_not_serve_until_it_has_joined_again() {
    let world = MemoryWorld::new();
    let server = world.server().lease_ttl(secs(15));
    let server = server.actor_type(slow_to_stop(secs(2)));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let start = ActorStart::new("s", "slow");
    client.start(server.peer(), start).await.unwrap();
    let mut watch = client.watch_health(server.peer()).unwrap();
    expect(&mut watch, Health::Serving).await;
    // The client knows its address, so it can watch it while the registry is away.
    world.registry.set_away(true);
    expect(&mut watch, Health::NotServing).await;
    assert_eq!(server.state(), ServerState::Fenced);
    server.wait_for(ServerState::Rejoining).await;
    let silent = tokio::time::timeout(secs(30), watch.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    let error = client.check_health(server.peer()).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::Registry);
    world.registry.set_away(false);
    expect(&mut watch, Health::Serving).await;
    assert_eq!(server.state(), ServerState::Serving);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_resumes_after_a_pause_says_so_at_its_first_step() {
    let world = MemoryWorld::new();
    let environment = world.simulation.environment();
    let server = world.server_in(environment.clone());
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let check = async || client.check_health(server.peer()).await.unwrap();
    assert_eq!(check().await, Health::Serving);
    // The pause falls between two checks of the watchdog.
    pass(Duration::from_millis(1_007)).await;
    world.simulation.jump(&environment, secs(45));
    let mut events = server.events();
    assert_eq!(check().await, Health::NotServing);
    let mut watch = client.watch_health(server.peer()).unwrap();
    expect(&mut watch, Health::NotServing).await;
    let noticed = events.next().now_or_never();
    assert_eq!(noticed, None, "the check was not the first step to notice");
    expect(&mut watch, Health::Serving).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_crashed_is_unreachable_and_then_gone() {
    let world = MemoryWorld::new();
    let server = bind(&world, "127.0.0.1:0").await;
    let (address, peer) = (server.address().to_string(), server.peer().clone());
    let client = world.client();
    let mut watch = client.watch_health(&peer).unwrap();
    expect(&mut watch, Health::Serving).await;
    drop(server);
    expect(&mut watch, Health::Unreachable).await;
    let error = client.check_health(&peer).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::Unreachable);
    assert!(!error.may_have_executed());
    expect(&mut watch, Health::Unregistered).await;
    let _server = bind(&world, &address).await;
    expect(&mut watch, Health::Serving).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_learns_nothing_says_so_and_continues() {
    let world = MemoryWorld::new();
    let server = bind(&world, "127.0.0.1:0").await;
    let client = world.client();
    world.registry.set_away(true);
    let mut watch = client.watch_health(server.peer()).unwrap();
    expect(&mut watch, Health::Unknown).await;
    world.registry.set_away(false);
    expect(&mut watch, Health::Serving).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_cannot_be_reached_is_not_stormed() {
    let world = MemoryWorld::new();
    let server = world.server().lease_ttl(secs(60));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let peer = server.peer().clone();
    drop(server);
    let client = world.client();
    let mut watch = client.watch_health(&peer).unwrap();
    expect(&mut watch, Health::Unreachable).await;
    let before = world.registry.calls(MemoryOperation::Get);
    let silent = tokio::time::timeout(secs(40), watch.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    let tries = world.registry.calls(MemoryOperation::Get) - before;
    // Six tries double the pause to its maximum, then one follows every 2.5 s to 5 s.
    assert!((12..=24).contains(&tries), "{tries}");
    // There are no more tries while the peer is not registered.
    expect(&mut watch, Health::Unregistered).await;
    let before = world.registry.calls(MemoryOperation::Get);
    let silent = tokio::time::timeout(secs(600), watch.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    // The key is read once more, and then watched.
    let reads = world.registry.calls(MemoryOperation::Get) - before;
    assert!(reads <= 1, "{reads}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_times_out_reports_the_last_health() {
    let world = MemoryWorld::new();
    let client = world.client();
    let wait = async |peer: &str, deadline| {
        let begun = world::clock();
        let error = client.wait_until_serving(peer, deadline).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::DeadlineExceeded);
        assert!(!error.may_have_executed());
        assert!(begun.elapsed() < deadline + Duration::from_millis(250));
        error.text().to_owned()
    };
    let text = wait("nobody", secs(2)).await;
    assert!(text.ends_with("its health is unregistered"), "{text}");
    let text = wait("nobody", Duration::ZERO).await;
    assert!(text.contains("nobody"), "{text}");

    let server = world.server().lease_ttl(secs(60));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let peer = server.peer().to_string();
    let holding = world.registry.clone();
    holding.set_away(true);
    server.wait_for(ServerState::Rejoining).await;
    holding.set_away(false);
    // It has not joined: the keys of its previous session are still in the registry.
    holding.inject(MemoryOperation::Revoke, MemoryFault::Delay(secs(5)));
    let text = wait(&peer, Duration::from_millis(100)).await;
    assert!(text.ends_with("its health is not-serving"), "{text}");
    drop(server);
    let text = wait(&peer, secs(1)).await;
    assert!(text.ends_with("its health is unreachable"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_name_and_a_closed_client_are_reported() {
    let world = MemoryWorld::new();
    let server = bind(&world, "127.0.0.1:0").await;
    let client = world.client();
    let invalid = Some(RequestErrorKind::InvalidName);
    let error = client.check_health("no.dots").await.err();
    assert_eq!(error.map(|error| error.kind()), invalid);
    let error = client.watch_health("no.dots").err();
    assert_eq!(error.map(|error| error.kind()), invalid);
    let error = client.wait_until_serving("no.dots", secs(1)).await.err();
    assert_eq!(error.map(|error| error.kind()), invalid);

    let mut serving = client.watch_health(server.peer()).unwrap();
    expect(&mut serving, Health::Serving).await;
    let mut waiting = client.watch_health("nobody").unwrap();
    expect(&mut waiting, Health::Unregistered).await;
    let closed = Some(RequestErrorKind::ClientClosed);
    let (waited, (), ended) = tokio::join!(
        client.wait_until_serving("nobody", secs(60)),
        async {
            pass(secs(1)).await;
            client.close().await;
        },
        waiting.next(),
    );
    assert_eq!(waited.err().map(|error| error.kind()), closed);
    assert_eq!((ended, waiting.next().await), (None, None));
    assert_eq!(serving.next().await, None);
    let error = client.check_health(server.peer()).await.err();
    assert_eq!(error.map(|error| error.kind()), closed);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_cannot_join_leaves_nothing_running() {
    let world = MemoryWorld::new();
    let first = bind(&world, "127.0.0.1:0").await;
    let address = first.address().to_string();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    for refuses in [false, true] {
        world.registry.set_refusing(refuses);
        let second = world.server().lease_ttl(secs(5)).advertise(address.clone());
        let error = second.bind("127.0.0.1:45000").await.unwrap_err();
        let kind = match refuses {
            true => ServerErrorKind::Registry,
            false => ServerErrorKind::AddressInUse,
        };
        assert_eq!(error.kind(), kind);
        world.registry.set_refusing(false);
        assert_eq!(tasks(), before);
        assert_eq!(world.registry.leases(), 1);
        // Nor does it listen.
        let third = bind(&world, "127.0.0.1:45000").await;
        third.shutdown().await.unwrap();
    }
    // The same holds once nobody waits for the bind any more.
    let second = world.server().lease_ttl(secs(5)).advertise(address);
    let second = tokio::time::timeout(secs(1), second.bind("127.0.0.1:45000")).await;
    assert!(second.is_err());
    pass(Duration::from_millis(1)).await;
    assert_eq!(tasks(), before);
    bind(&world, "127.0.0.1:45000").await;
}
