//! The registry is away, briefly or for long; and what happens to a process that was stopped.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actorgrid::{
    ActorStart, ActorType, Client, EchoMsg, FenceReason, Kind, Mailbox, MemoryFault,
    MemoryOperation, Name, Request, RequestErrorKind, RespondErrorKind, Server, ServerEvent,
    ServerState, StopReason,
};
use futures_util::FutureExt as _;
use tokio::sync::{Notify, mpsc};
use world::{MemoryWorld, Resource, World, echo_type, eventually, on_both_registries, pass, secs};

on_both_registries! {
    a_lost_lease_or_key_fences_at_once_and_the_peer_rejoins,
    a_lock_that_is_taken_over_fences_at_once_and_is_waited_for,
    a_peer_waits_for_the_address_of_its_last_life,
    a_lost_lease_leaves_an_actor_no_time,
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_changes_nothing() {
    let world = MemoryWorld::new();
    let resource = Resource::default();
    let bind = async || {
        let server = world
            .server()
            .lease_ttl(secs(15))
            .actor_type(echo_type("echo"));
        let server = server.actor_type(resource.holder_type("leader"));
        server.bind("127.0.0.1:0").await.unwrap()
    };
    let (one, two) = (bind().await, bind().await);
    let client = world.client();
    client
        .start(two.peer(), ActorStart::new("a", "echo"))
        .await
        .unwrap();
    client.request("a", EchoMsg::new("warm")).await.unwrap();
    eventually("a leader runs", || resource.holders("leader") == 1).await;
    let mut events = (one.events(), two.events());

    // Away for 4 s at every point of the renewal cycle.
    for offset in 0..6 {
        pass(secs(20) + Duration::from_millis(500 * offset)).await;
        world.registry.set_away(true);
        for _ in 0..40 {
            let answer = client
                .request("a", EchoMsg::new("x"))
                .deadline(secs(1))
                .await
                .unwrap();
            assert_eq!(answer.msg, "x from a");
            pass(Duration::from_millis(100)).await;
        }
        world.registry.set_away(false);
    }
    pass(secs(60)).await;
    assert_eq!(
        resource.tokens("leader").len(),
        1,
        "the leader was not replaced"
    );
    for events in [&mut events.0, &mut events.1] {
        assert_eq!(events.next().now_or_never(), None);
    }
    assert_eq!(
        (one.state(), two.state()),
        (ServerState::Serving, ServerState::Serving)
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_fences_in_time_and_the_peers_rejoin_by_themselves() {
    let world = MemoryWorld::new();
    let resource = Resource::default();
    let server = world
        .server()
        .lease_ttl(secs(15))
        .actor_type(resource.holder_type("holder"));
    let server = server.actor_type(resource.holder_type("leader"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("n", "holder"))
        .await
        .unwrap();
    eventually("a leader runs", || resource.holders("leader") == 1).await;
    let peer = |world: &World| {
        let client = world.client();
        async move { client.query(Kind::Peer).await.unwrap().remove(0).token }
    };
    let old = peer(&world).await;

    for _ in 0..3 {
        world.registry.set_away(true);
        // The last renewal was confirmed earlier, so the hard deadline is at most 13.5 s from now;
        // the lease expires after that.
        pass(Duration::from_millis(13_550)).await;
        assert_eq!(resource.holders("n") + resource.holders("leader"), 0);
        pass(secs(20)).await;
        assert_eq!(server.state(), ServerState::Rejoining);
        world.registry.set_away(false);
        server.wait_for(ServerState::Serving).await;
        eventually("a leader runs again", || resource.holders("leader") == 1).await;
        client
            .start(server.peer(), ActorStart::new("n", "holder"))
            .await
            .unwrap();
        eventually("the holder runs", || resource.holders("n") == 1).await;
    }

    let new = peer(&world).await;
    assert!(old < new);
    for name in ["n", "leader"] {
        let tokens = resource.tokens(name);
        assert_eq!(tokens.len(), 4);
        assert!(tokens.is_sorted(), "{tokens:?}");
    }
    assert_eq!(resource.most(), 1);
    assert_eq!(world.registry.leases(), 1);
}

/// Creates an actor that keeps one request, and answers it when it is released.
fn keeper(
    released: &Arc<Notify>,
    results: mpsc::UnboundedSender<(RespondErrorKind, bool, Option<EchoMsg>)>,
) -> ActorType {
    let released = released.clone();
    ActorType::from_fn("keeper", move |_start, ctx| {
        let (released, results) = (released.clone(), results.clone());
        async move {
            let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(10).await?;
            let request = mailbox.recv().await.ok_or("no request")?;
            released.notified().await;
            assert!(ctx.token().is_err(), "a token after the pause");
            assert!(mailbox.recv().await.is_none(), "a request after the pause");
            let error = request.respond(EchoMsg::new("late")).unwrap_err();
            let (kind, waited) = (error.kind(), error.requester_waited());
            let _ = results.send((kind, waited, error.into_reply()));
            std::future::pending().await
        }
    })
    .mailbox::<Request<EchoMsg>>(10)
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_longer_than_the_lease_nothing_counts() {
    let world = MemoryWorld::new();
    let environment = world.simulation.environment();
    let released = Arc::new(Notify::new());
    let (results, mut answers) = mpsc::unbounded_channel();
    let server = world
        .server_in(environment.clone())
        .actor_type(keeper(&released, results));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("k", "keeper"))
        .await
        .unwrap();

    let requests = tokio::join!(
        client.request("k", EchoMsg::new("kept")).send(),
        client.request("k", EchoMsg::new("queued")).send(),
        async {
            // The pause falls between two checks of the watchdog, so the actor takes the first step
            // after it.
            pass(Duration::from_millis(1_007)).await;
            world.simulation.jump(&environment, secs(45));
            released.notify_one();
            let answer = tokio::time::timeout(secs(60), answers.recv()).await;
            let late = Some(EchoMsg::new("late"));
            let fenced = (RespondErrorKind::Fenced, true, late);
            assert_eq!(answer.unwrap(), Some(fenced));
        }
    );
    let kept = requests.0.unwrap_err();
    assert_eq!(kept.kind(), RequestErrorKind::NoReply);
    assert!(kept.may_have_executed());
    let queued = requests.1.unwrap_err();
    assert!(!queued.may_have_executed(), "{queued:?}");

    world.until_free("k").await;
    server.wait_for(ServerState::Serving).await;
    client
        .start(server.peer(), ActorStart::new("k", "keeper"))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_after_a_pause_is_repeated_once_the_peer_has_rejoined() {
    type Inbox = Mailbox<Request<EchoMsg>>;
    async fn answer(mailbox: &mut Inbox) {
        let request = mailbox.recv().await.unwrap();
        request.respond(EchoMsg::new("yes")).unwrap();
    }
    let world = MemoryWorld::new();
    let environment = world.simulation.environment();
    let server = world.server_in(environment.clone());
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let over_grpc = Client::builder("test", world.registry())
        .environment(world.environment())
        .link(false)
        .build();
    let clients = [server.client(), &world.client(), &over_grpc];
    for (sessions, client) in (2..).zip(clients) {
        let request = || {
            let request = client.request("a", EchoMsg::new("hi"));
            request.wait_for_name().deadline(secs(60))
        };
        let mut mailbox: Inbox = server.mailbox("a", 10).await.unwrap();
        let (warm, ()) = tokio::join!(request().send(), answer(&mut mailbox));
        warm.unwrap();
        // Between two checks of the watchdog.
        pass(Duration::from_millis(1_007)).await;
        world.simulation.jump(&environment, secs(45));
        let rejoins = async {
            assert!(mailbox.recv().await.is_none(), "a request after the pause");
            drop(mailbox);
            eventually("the peer has rejoined", || {
                server.statistics().sessions == sessions
            })
            .await;
            let mut mailbox = server.mailbox("a", 10).await.unwrap();
            answer(&mut mailbox).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            answered = request().send() => assert_eq!(answered.unwrap().msg, "yes"),
            () = rejoins => {}
        }
        world.until_free("a").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_stuck_for_less_than_max_stall_loses_nothing() {
    let world = MemoryWorld::new();
    let environment = world.simulation.environment();
    let resource = Resource::default();
    let server = world
        .server_in(environment.clone())
        .lease_ttl(secs(15))
        .max_stall(secs(30))
        .actor_type(resource.holder_type("leader"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    eventually("a leader runs", || resource.holders("leader") == 1).await;
    let mut events = server.events();
    // Beyond the lease, again and again.
    for _ in 0..3 {
        world.simulation.stall(&environment, secs(29));
        pass(secs(30)).await;
    }
    assert_eq!(events.next().now_or_never(), None);
    assert_eq!(resource.holders("leader"), 1);
    assert_eq!(server.statistics().sessions, 1);
    let longest = server.statistics().longest_runtime_stall;
    assert!(longest >= secs(29) && longest < secs(30), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_stuck_for_max_stall_is_fenced_and_the_peer_rejoins() {
    let world = MemoryWorld::new();
    let environment = world.simulation.environment();
    let resource = Resource::default();
    // `max_stall` defaults to the time to live of the lease.
    let server = world
        .server_in(environment.clone())
        .lease_ttl(secs(10))
        .actor_type(resource.holder_type("leader"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    eventually("a leader runs", || resource.holders("leader") == 1).await;
    assert_eq!(server.statistics().longest_runtime_stall, Duration::ZERO);
    let mut events = server.events();
    let begun = world::clock();
    world.simulation.stall(&environment, secs(11));
    let fenced = ServerEvent::StateChanged {
        state: ServerState::Fenced,
        reason: Some(FenceReason::RuntimeStalled),
    };
    assert_eq!(events.next().await, Some(fenced));
    let took = begun.elapsed();
    assert!(took > secs(9) && took <= secs(10), "{took:?}");
    server.wait_for(ServerState::Serving).await;
    eventually("a leader runs again", || resource.holders("leader") == 1).await;
    assert_eq!(resource.most(), 1);
    pass(secs(60)).await;
    assert_eq!(server.statistics().sessions, 2);
    assert_eq!(world.registry.leases(), 1);
    let longest = server.statistics().longest_runtime_stall;
    assert!(longest >= took - secs(1), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_is_not_taken_for_a_stuck_runtime() {
    let world = MemoryWorld::new();
    let environment = world.simulation.environment();
    let server = world
        .server_in(environment.clone())
        .lease_ttl(secs(15))
        .max_stall(secs(1));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    // Each time, either the keeper or the heartbeat may run first.
    for offset in 0..20 {
        pass(Duration::from_millis(3_007 + 10 * offset)).await;
        world.simulation.jump(&environment, secs(5));
    }
    pass(secs(5)).await;
    assert_eq!(server.statistics().sessions, 1);
    assert_eq!(server.statistics().longest_runtime_stall, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_actor_learns_why_it_is_to_stop() {
    let world = MemoryWorld::new();
    let (reasons, mut learned) = mpsc::unbounded_channel();
    let teller = ActorType::from_fn("teller", move |_start, ctx| {
        let reasons = reasons.clone();
        async move {
            let stopping = ctx.stopping().await;
            let _ = reasons.send((stopping.reason, stopping.time_left));
            Ok(())
        }
    });
    let server = world
        .server()
        .actor_type(teller)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    let start = async |name: &str| {
        client
            .start(server.peer(), ActorStart::new(name, "teller"))
            .await
            .unwrap()
    };

    start("a").await;
    client.stop("a").await.unwrap();
    assert_eq!(learned.recv().await.unwrap(), (StopReason::Asked, secs(10)));

    start("b").await;
    world.registry.set_away(true);
    let (reason, left) = learned.recv().await.unwrap();
    assert_eq!(reason, StopReason::Fenced);
    // From the soft deadline to the hard one, less the time to notice.
    assert!(
        left > secs(3) && left <= Duration::from_millis(3_500),
        "{left:?}"
    );
    world.registry.set_away(false);
    server.wait_for(ServerState::Serving).await;

    start("c").await;
    server.shutdown().await.unwrap();
    assert_eq!(
        learned.recv().await.unwrap(),
        (StopReason::Shutdown, secs(10))
    );
}

async fn serving_with_holder(world: &World, resource: &Resource) -> Server {
    serving_with_holder_at("127.0.0.1:0", world, resource).await
}

async fn serving_with_holder_at(address: &str, world: &World, resource: &Resource) -> Server {
    let server = world.server().lease_ttl(secs(10));
    let server = server.actor_type(resource.holder_type("holder"));
    let server = server.bind(address).await.unwrap();
    world
        .client()
        .start(server.peer(), ActorStart::new("n", "holder"))
        .await
        .unwrap();
    eventually("the holder runs", || resource.holders("n") == 1).await;
    server
}

async fn a_lost_lease_or_key_fences_at_once_and_the_peer_rejoins(world: World) {
    type Lose = fn(&World, &Server);
    let lost: [(&str, Lose); 5] = [
        ("leases", |world, _| world.expire_leases()),
        ("lock", |world, server| assert!(world.delete(&lock(server)))),
        ("epoch", |world, server| {
            assert!(world.delete(&format!("test.epoch.{}", server.peer())));
        }),
        ("peer", |world, server| {
            assert!(world.delete(&format!("test.peer.{}", server.peer())));
        }),
        ("mailbox", |world, server| {
            assert!(world.delete(&format!("test.mailbox.{}", server.peer())));
        }),
    ];
    for (what, lose) in lost {
        let world = world.another().await;
        let resource = Resource::default();
        let server = fenced_at_once(what, &world, &resource, |server| lose(&world, server)).await;
        rejoins(what, &world, &resource, &server).await;
    }
}

async fn a_lock_that_is_taken_over_fences_at_once_and_is_waited_for(world: World) {
    let resource = Resource::default();
    let lose = |server: &Server| world.overwrite(&lock(server), "");
    let server = fenced_at_once("taken over", &world, &resource, lose).await;
    // The lock has no lease and never expires: an operator has to delete it.
    world.idle(secs(60)).await;
    assert_eq!(server.state(), ServerState::Rejoining);
    assert!(world.delete(&lock(&server)));
    rejoins("taken over", &world, &resource, &server).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_lost_while_no_watch_sees_it_fences_at_once_too() {
    let world = MemoryWorld::new();
    let lose = |server: &Server| {
        world.registry.break_watches();
        assert!(world.delete(&format!("test.peer.{}", server.peer())));
        world.registry.compact();
    };
    let resource = Resource::default();
    let server = fenced_at_once("after a compaction", &world, &resource, lose).await;
    rejoins("after a compaction", &world, &resource, &server).await;
}

fn lock(server: &Server) -> String {
    format!("registry.uniq-lock.{}", server.address())
}

async fn fenced_at_once(
    what: &str,
    world: &World,
    resource: &Resource,
    lose: impl FnOnce(&Server),
) -> Server {
    let server = serving_with_holder(world, resource).await;
    let mut events = server.events();
    lose(&server);
    let begun = world::clock();
    // The server may serve again by now.
    let fenced = events.next().await;
    assert!(
        matches!(
            fenced,
            Some(ServerEvent::StateChanged {
                state: ServerState::Fenced,
                reason: Some(FenceReason::LeaseLost | FenceReason::KeyLost)
            })
        ),
        "{what}: {fenced:?}"
    );
    eventually(what, || resource.holders("n") == 0).await;
    assert!(begun.elapsed() <= world.bound(secs(1)), "{what}");
    server
}

async fn rejoins(what: &str, world: &World, resource: &Resource, server: &Server) {
    let old = resource.tokens("n")[0];
    server.wait_for(ServerState::Serving).await;
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("n", "holder"))
        .await
        .unwrap();
    let again = client
        .find(Kind::Actor, &Name::new("n").unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(old < again.token, "{what}");
    assert_eq!(resource.most(), 1, "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_of_the_own_keys_is_resumed() {
    let world = MemoryWorld::new();
    let resource = Resource::default();
    let server = serving_with_holder(&world, &resource).await;
    world.registry.break_watches();
    world.registry.compact();
    pass(secs(30)).await;
    assert_eq!(server.state(), ServerState::Serving);
    assert_eq!(resource.holders("n"), 1);

    let mut events = server.events();
    assert!(world.delete(&lock(&server)));
    let fenced = tokio::time::timeout(secs(1), events.next()).await;
    assert_eq!(
        fenced.expect("the resumed watch is silent"),
        Some(ServerEvent::StateChanged {
            state: ServerState::Fenced,
            reason: Some(FenceReason::KeyLost)
        })
    );
}

async fn a_peer_waits_for_the_address_of_its_last_life(world: World) {
    let resource = Resource::default();
    let first = serving_with_holder(&world, &resource).await;
    let address = first.address().to_string();
    // Like a crash: nothing is revoked, and the lease expires.
    drop(first);
    eventually("the actor is gone", || resource.holders("n") == 0).await;
    let second = serving_with_holder_at(&address, &world, &resource).await;
    assert_eq!(second.state(), ServerState::Serving);
    let tokens = resource.tokens("n");
    assert!(tokens[0] < tokens[1]);
    assert_eq!(world.leases(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_while_the_registry_is_away_ends_and_says_what_is_left() {
    for fenced in [false, true] {
        let world = MemoryWorld::new();
        let resource = Resource::default();
        let server = serving_with_holder(&world, &resource).await;
        world.registry.set_away(true);
        if fenced {
            server.wait_for(ServerState::Rejoining).await;
        }
        let error = server.shutdown().await.unwrap_err();
        assert!(error.not_revoked && error.stuck.is_empty(), "{error:?}");
        assert_eq!(server.state(), ServerState::Stopped);
        assert_eq!(resource.holders("n"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_cold_cache_says_that_the_registry_does_not_answer() {
    let world = MemoryWorld::new();
    let reached = Arc::new(AtomicBool::new(false));
    let seen = reached.clone();
    let server = world
        .server()
        .actor_type(echo_type("echo"))
        .actor_fn("other", move |_, _| {
            seen.store(true, Ordering::SeqCst);
            async { Ok(()) }
        });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("a", "echo"))
        .await
        .unwrap();
    client.request("a", EchoMsg::new("warm")).await.unwrap();
    world.registry.set_away(true);
    // The slow lookup of one name does not delay another.
    let (cold, warm) = tokio::join!(
        client
            .request("b", EchoMsg::new("x"))
            .deadline(secs(5))
            .send(),
        client
            .request("a", EchoMsg::new("x"))
            .deadline(Duration::from_millis(100))
            .send()
    );
    let cold = cold.unwrap_err();
    assert!(!cold.may_have_executed());
    assert!(
        matches!(
            cold.kind(),
            RequestErrorKind::Registry | RequestErrorKind::DeadlineExceeded
        ),
        "{cold:?}"
    );
    assert_eq!(warm.unwrap().msg, "x from a");
    assert!(!reached.load(Ordering::SeqCst));
}

/// Creates an actor that ignores the order to stop.
fn deaf(resource: &Resource) -> ActorType {
    let resource = resource.clone();
    ActorType::from_fn("deaf", move |_start, ctx| {
        let resource = resource.clone();
        async move {
            let _holding = resource.hold(ctx.name().as_str(), ctx.token()?);
            std::future::pending().await
        }
    })
}

async fn a_lost_lease_leaves_an_actor_no_time(world: World) {
    let resource = Resource::default();
    let server = world
        .server()
        .lease_ttl(secs(10))
        .actor_type(deaf(&resource));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let start = async || {
        let start = client.start(server.peer(), ActorStart::new("d", "deaf"));
        start.await.unwrap();
    };
    start().await;
    pass(Duration::from_millis(1_007)).await;
    // Its names are free: another peer may claim them.
    world.expire_leases();
    let begun = world::clock();
    eventually("the actor is gone", || resource.holders("d") == 0).await;
    assert!(begun.elapsed() <= world.bound(Duration::from_millis(100)));
    server.wait_for(ServerState::Serving).await;

    // Losing a single key is different: the lease still holds the names.
    start().await;
    let key = format!("test.peer.{}", server.peer());
    eventually("the actor runs", || resource.holders("d") == 1).await;
    assert!(world.delete(&key));
    eventually("the server is fenced", || {
        server.state() == ServerState::Fenced
    })
    .await;
    assert_eq!(resource.holders("d"), 1);
    server.wait_for(ServerState::Serving).await;
    assert_eq!(resource.holders("d"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_while_a_peer_rejoins_leaves_nothing_or_says_so() {
    for reply_lost in [false, true] {
        let world = MemoryWorld::new();
        let resource = Resource::default();
        let server = serving_with_holder(&world, &resource).await;
        let fault = MemoryFault::Delay(Duration::from_millis(500));
        world.registry.inject(MemoryOperation::Claim, fault);
        world.registry.expire_leases();
        pass(Duration::from_millis(100)).await;
        assert_eq!(server.state(), ServerState::Rejoining);
        if reply_lost {
            for _ in 0..100 {
                world
                    .registry
                    .inject(MemoryOperation::Revoke, MemoryFault::LoseRequest);
            }
        }
        let left = server.shutdown().await;
        assert_eq!(server.state(), ServerState::Stopped);
        pass(secs(1)).await;
        match left {
            Ok(()) => assert_eq!(world.registry.keys(), [""; 0]),
            Err(error) => assert!(error.not_revoked && reply_lost, "{error:?}"),
        }
        pass(secs(20)).await;
        assert_eq!(world.registry.leases(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_a_bound_waits_for_the_registry() {
    let world = MemoryWorld::new();
    let server = world.server().shutdown_timeout(Duration::MAX);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    world.registry.set_away(true);
    server.wait_for(ServerState::Rejoining).await;
    let (ended, ()) = tokio::join!(server.shutdown(), async {
        pass(secs(60)).await;
        world.registry.set_away(false);
    });
    assert_eq!(ended, Ok(()));
    assert_eq!(world.registry.leases(), 0);
}
