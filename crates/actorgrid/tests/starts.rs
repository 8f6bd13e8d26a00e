//! How actors and servers start: what a start message decides, and what an abandoned start leaves.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::error::Error as _;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actorgrid::{
    Ack, ActorEnd, ActorStart, ActorStop, ActorType, BoxActor, BoxError, Client, EchoMsg,
    MAX_MAILBOX_CAPACITY, MemoryFault, MemoryOperation, NameError, RegistryError, Request,
    RequestError, RequestErrorKind, Server, ServerErrorKind, ServerEvent, ServerState,
};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use world::{MemoryWorld, World, on_both_registries, pass, secs};

on_both_registries! {
    the_start_message_gives_the_declared_mailbox_its_capacity,
    a_start_without_a_valid_capacity_fails_before_anything_is_registered,
    starts_that_hang_do_not_hold_up_stops_and_others_hear_that_the_peer_is_busy,
    a_start_counts_until_its_constructor_has_ended_though_nobody_waits_for_it,
    a_start_that_can_be_answered_at_once_is_not_busy,
}

/// Creates an actor that takes the capacity of its mailbox from its start message, and never
/// receives.
fn idle() -> ActorType {
    ActorType::from_fn("idle", async |_start, ctx| {
        let _mailbox = ctx.mailbox::<Request<EchoMsg>>(1).await?;
        ctx.stopping().await;
        Ok(())
    })
    .mailbox_with::<Request<EchoMsg>>(|start| {
        start.decode::<EchoMsg>().unwrap().msg.parse().unwrap()
    })
}

fn start(name: &str, capacity: impl ToString) -> ActorStart {
    ActorStart::new(name, "idle").message(&EchoMsg::new(capacity.to_string()))
}

async fn the_start_message_gives_the_declared_mailbox_its_capacity(world: World) {
    let server = world.server().actor_type(idle());
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    for capacity in [1, 3] {
        let name = format!("i-{capacity}");
        let start = start(&name, capacity);
        client.start(server.peer(), start).await.unwrap();
        let full = server.statistics().requests_admitted + capacity as u64;
        let call = |deadline| {
            let request = client.request(name.as_str(), EchoMsg::new("x"));
            request.deadline(deadline).send()
        };
        let queued = futures_util::future::join_all((0..capacity).map(|_| call(secs(5))));
        let one_more = async {
            world::eventually("the mailbox is full", || {
                server.statistics().requests_admitted == full
            })
            .await;
            call(secs(1)).await
        };
        let (queued, refused) = tokio::join!(queued, one_more);
        for reply in queued {
            let error = reply.unwrap_err();
            assert_eq!(
                error.kind(),
                RequestErrorKind::DeadlineExceeded,
                "{error:?}"
            );
        }
        assert!(!refused.unwrap_err().may_have_executed());
        assert_eq!(server.statistics().requests_admitted, full);
        client.stop(name.as_str()).await.unwrap();
    }
}

async fn a_start_without_a_valid_capacity_fails_before_anything_is_registered(world: World) {
    let server = world.server().actor_type(idle());
    let server = server.bind("127.0.0.1:0").await.unwrap();
    for client in [&world.client(), server.client()] {
        for capacity in ["0".to_owned(), (MAX_MAILBOX_CAPACITY + 1).to_string()] {
            let error = client.start(server.peer(), start("i", &capacity)).await;
            let error = error.unwrap_err();
            assert_eq!(error.kind(), RequestErrorKind::StartFailed);
            assert!(!error.may_have_executed(), "{error:?}");
            for part in [&*capacity, "1 to 1048576", "mailbox_with"] {
                assert!(error.text().contains(part), "{error}");
            }
        }
        let error = client.start(server.peer(), start("i", "many")).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::StartFailed);
        assert!(error.text().contains("panicked"), "{error}");
        assert_eq!(world.keys_of("i").await, [""; 0]);
    }
    assert_eq!(server.statistics().starts_refused, 6);
    assert_eq!(server.statistics().actor_panics, 2);
    let client = world.client();
    client
        .start(server.peer(), start("i", MAX_MAILBOX_CAPACITY))
        .await
        .unwrap();
}

/// Creates an actor type whose constructors never end.
fn hanging(name: &str) -> ActorType {
    ActorType::new(name, async |_start| -> Result<BoxActor, BoxError> {
        std::future::pending().await
    })
}

/// The number of starts that a peer allows to be under way at once.
const MAX_STARTS: usize = 256;

async fn starts_that_hang_do_not_hold_up_stops_and_others_hear_that_the_peer_is_busy(world: World) {
    let server = world
        .server()
        .constructor_timeout(secs(5))
        .actor_type(hanging("hanging"))
        .actor_type(world::echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let start = |name: &str, kind: &str| client.start(server.peer(), ActorStart::new(name, kind));
    start("a", "echo").await.unwrap();
    let attack = join_all((0..300).map(|i| {
        let start = start(&format!("h-{i}"), "hanging");
        start.deadline(secs(60)).send()
    }));
    let honest = async {
        world::eventually("the limit of starts is reached", || {
            server.statistics().starts_under_way == MAX_STARTS as u64
        })
        .await;
        let begun = world::clock();
        let error = start("b", "echo").once().await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::Busy);
        assert!(!error.may_have_executed());
        client.stop("a").await.unwrap();
        assert!(begun.elapsed() < world.bound(Duration::from_millis(100)));
        // It is accepted once some of the others have used up their time.
        start("b", "echo").deadline(secs(30)).await.unwrap();
    };
    let (outcomes, ()) = tokio::join!(attack, honest);
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::StartFailed);
        assert!(error.text().contains("constructor_timeout"), "{error}");
    }
    let counted = server.statistics();
    assert_eq!(counted.starts_under_way, 0);
    assert_eq!(
        (counted.constructors_timed_out, counted.starts_failed),
        (300, 300)
    );
    assert!(counted.starts_busy > 0 && counted.starts_busy == counted.starts_refused);
    // The names are free again.
    start("h-0", "echo").await.unwrap();
}

async fn a_start_counts_until_its_constructor_has_ended_though_nobody_waits_for_it(world: World) {
    let server = world
        .server()
        .constructor_timeout(secs(5))
        .actor_type(hanging("hanging"))
        .actor_type(world::echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let start = |name: &str, kind: &str| client.start(server.peer(), ActorStart::new(name, kind));
    let attack = (0..MAX_STARTS).map(|i| {
        let start = start(&format!("h-{i}"), "hanging");
        start.deadline(secs(2)).send()
    });
    for outcome in join_all(attack).await {
        assert_eq!(
            outcome.unwrap_err().kind(),
            RequestErrorKind::DeadlineExceeded
        );
    }
    let error = start("a", "echo").once().await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::Busy);
    world::eventually("the others have timed out", || {
        server.statistics().starts_under_way == 0
    })
    .await;
    start("a", "echo").once().await.unwrap();
}

async fn a_start_that_can_be_answered_at_once_is_not_busy(world: World) {
    let server = world
        .server()
        .constructor_timeout(secs(30))
        .actor_type(hanging("hanging"))
        .actor_type(world::echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let start = |name: &str, kind: &str| client.start(server.peer(), ActorStart::new(name, kind));
    start("a", "echo").await.unwrap();
    let attack = join_all((0..MAX_STARTS).map(|i| {
        let start = start(&format!("h-{i}"), "hanging");
        start.deadline(secs(60)).send()
    }));
    let honest = async {
        world::eventually("the limit of starts is reached", || {
            server.statistics().starts_under_way == MAX_STARTS as u64
        })
        .await;
        for (name, kind, expected) in [
            ("b", "unknown", RequestErrorKind::UnknownActorType),
            ("b", "no/type", RequestErrorKind::InvalidName),
            ("no/name", "echo", RequestErrorKind::InvalidName),
            ("a", "echo", RequestErrorKind::AlreadyRunning),
            ("b", "echo", RequestErrorKind::Busy),
        ] {
            let error = start(name, kind).once().await.unwrap_err();
            assert_eq!(error.kind(), expected, "{name} {kind}: {error:?}");
            assert!(!error.may_have_executed());
            let held = expected == RequestErrorKind::AlreadyRunning;
            assert_eq!(error.token().is_some(), held, "{error:?}");
        }
        assert_eq!(server.statistics().starts_refused, 5);
        assert_eq!(server.statistics().starts_busy, 1);
    };
    tokio::select! {
        _ = attack => panic!("a hanging start ended"),
        () = honest => {}
    }
}

/// Sends starts in successive waves, so that the queue of the peer's mailbox is never full.
async fn start_in_waves(
    server: &Server,
    waves: usize,
    deadline: Duration,
    name: fn(usize) -> String,
) {
    for wave in 0..waves {
        let starts = (50 * wave..50 * (wave + 1)).map(|i| {
            let start = ActorStart::new(name(i), "echo");
            let start = server.client().start(server.peer(), start);
            start.deadline(deadline).once().send()
        });
        for outcome in join_all(starts).await {
            let kind = outcome.unwrap_err().kind();
            let expected = [
                RequestErrorKind::DeadlineExceeded,
                RequestErrorKind::Busy,
                RequestErrorKind::NotReleased,
            ];
            assert!(expected.contains(&kind), "{kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn starts_that_are_abandoned_while_they_are_decided_count_until_they_are() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(world::echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let calls = |operation| world.registry.calls(operation);
    let claims = calls(MemoryOperation::Claim);
    world.registry.set_away(true);
    start_in_waves(&server, 8, Duration::from_millis(10), |i| format!("s-{i}")).await;
    assert_eq!(server.statistics().starts_under_way, MAX_STARTS as u64);
    assert_eq!(server.statistics().starts_busy, 400 - MAX_STARTS as u64);
    let sent = calls(MemoryOperation::Claim);
    assert!(sent <= claims + 8, "{sent} batches");

    world.registry.set_away(false);
    world::eventually("the starts are decided", || {
        server.statistics().starts_under_way == 0
    })
    .await;
    // Nobody waits for them any more, so none was sent again.
    assert_eq!(calls(MemoryOperation::Claim), sent);
    assert_eq!(world.keys_of("s-0").await, [""; 0]);
    let start = ActorStart::new("s-0", "echo");
    server.client().start(server.peer(), start).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn starts_that_are_abandoned_once_they_are_decided_count_until_their_names_are_free() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(world::echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let time = Duration::from_millis(500);
    world
        .registry
        .inject(MemoryOperation::Claim, MemoryFault::Delay(time));
    for _ in 0..2 {
        world
            .registry
            .inject(MemoryOperation::Release, MemoryFault::Delay(time));
    }
    start_in_waves(&server, 1, Duration::from_millis(10), |_| "s".to_owned()).await;
    pass(time).await;
    assert_eq!(world.keys_of("s").await.len(), 2);
    assert_eq!(server.statistics().starts_under_way, 1);
    pass(3 * time).await;
    assert_eq!(server.statistics().starts_under_way, 0);
    assert_eq!(world.keys_of("s").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn starts_of_one_name_leave_room_for_those_of_others() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(world::echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    world.registry.set_away(true);
    let client = server.client();
    let start = |name: &str, time| {
        let start = client.start(server.peer(), ActorStart::new(name, "echo"));
        start.deadline(time).once().send()
    };
    let one_name = join_all((0..400).map(|i| async move {
        // The queue of the peer's mailbox must not be full.
        pass(Duration::from_millis(i / 50)).await;
        start("s", secs(1)).await.unwrap_err().kind()
    }));
    let other = async {
        pass(Duration::from_millis(100)).await;
        let waiting = server.statistics().starts_under_way;
        assert!(waiting <= 1 + 32, "{waiting} starts of one name");
        start("t", secs(1)).await.unwrap_err().kind()
    };
    let (kinds, other) = tokio::join!(one_name, other);
    // The start was admitted, and the registry is away.
    assert_eq!(other, RequestErrorKind::DeadlineExceeded);
    let busy = |kind: &&RequestErrorKind| **kind == RequestErrorKind::Busy;
    assert_eq!(kinds.iter().filter(busy).count(), 400 - 33);
    assert_eq!(server.statistics().starts_busy, 400 - 33);
}

#[tokio::test(start_paused = true)]
async fn a_constructor_that_timed_out_is_dropped_and_reported() {
    let world = MemoryWorld::new();
    let running = Arc::new(());
    let held = running.clone();
    let slow = ActorType::new("slow", move |start: ActorStart| {
        let held = held.clone();
        async move {
            let _held = held;
            let time = start.decode::<EchoMsg>()?.msg.parse()?;
            tokio::time::sleep(Duration::from_millis(time)).await;
            Err::<BoxActor, BoxError>("at its end".into())
        }
    });
    let server = world
        .server()
        .constructor_timeout(secs(1))
        .actor_type(slow)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = server.client();
    for (time, end) in [
        ("990", ActorEnd::Failed("at its end".into())),
        ("1010", ActorEnd::TimedOut),
    ] {
        let mut events = server.events();
        let begun = world::clock();
        let start = ActorStart::new("s", "slow").message(&EchoMsg::new(time));
        let error = client.start(server.peer(), start).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::StartFailed);
        assert!(begun.elapsed() < Duration::from_millis(1_005));
        assert_eq!(Arc::strong_count(&running), 2, "only the type holds it");
        let Some(ServerEvent::StartFailed { end: reported, .. }) = events.next().await else {
            panic!("no start has failed");
        };
        assert_eq!(reported, end);
    }
    assert_eq!(ActorEnd::TimedOut.to_string(), "timed-out");
    assert_eq!(world.keys_of("s").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_constructor_that_blocks_first_has_used_up_its_time() {
    let world = MemoryWorld::new();
    // Lets time pass within a step of the constructor, as if it blocked its thread.
    let block = || {
        let _ = tokio::time::advance(Duration::from_millis(50)).now_or_never();
    };
    let called = ActorType::new("called", move |_start| {
        block();
        std::future::pending::<Result<BoxActor, BoxError>>()
    });
    let polled = ActorType::new("polled", move |_start| async move {
        block();
        std::future::pending::<Result<BoxActor, BoxError>>().await
    });
    let server = world
        .server()
        .constructor_timeout(Duration::from_millis(10))
        .actor_type(called)
        .actor_type(polled)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = server.client();
    for kind in ["called", "polled"] {
        let begun = world::clock();
        let start = ActorStart::new("s", kind);
        let error = client.start(server.peer(), start).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::StartFailed, "{kind}");
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(52), "{kind}: {took:?}");
    }
    assert_eq!(server.statistics().constructors_timed_out, 2);
}

/// Needs real workers: user code blocks one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_blocks_counts_as_a_start_until_it_returns() {
    let world = World::on_real_memory();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let block = move || {
        let _ = released.lock().unwrap().recv();
    };
    let blocking = block.clone();
    let constructs = ActorType::new("constructs", move |_start| {
        let block = blocking.clone();
        async move {
            block();
            Err::<BoxActor, BoxError>("released".into())
        }
    });
    let counts = ActorType::from_fn("counts", async |_start, _ctx| Ok(()));
    let counts = counts.mailbox_with::<Request<EchoMsg>>(move |_start| {
        block();
        1
    });
    let server = world
        .server()
        .constructor_timeout(Duration::from_millis(1))
        .actor_type(constructs)
        .actor_type(counts);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    for kind in ["constructs", "counts"] {
        let client = server.client();
        let start = client.start(server.peer(), ActorStart::new("s", kind));
        let start = tokio::time::timeout(Duration::from_millis(100), start.send());
        assert!(start.await.is_err());
        assert_eq!(server.statistics().starts_under_way, 1, "{kind}");
        release.send(()).unwrap();
        world::eventually("the blocking code has returned", || {
            server.statistics().starts_under_way == 0
        })
        .await;
        world.until_free("s").await;
    }
}

#[tokio::test(start_paused = true)]
async fn stops_beyond_those_under_way_are_tried_again() {
    let world = MemoryWorld::new();
    let server = world
        .server()
        .shutdown_timeout(secs(2))
        .actor_fn("deaf", async |_start, _ctx| std::future::pending().await);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    for client in [server.client(), &world.client()] {
        let start = ActorStart::new("d", "deaf");
        client.start(server.peer(), start).await.unwrap();
        let busy = server.statistics().refused_busy;
        let stops = join_all((0..1_100).map(|_| client.stop("d"))).await;
        let stopped = stops.iter().filter(|stopped| stopped.is_ok()).count();
        assert_eq!(stopped, 1_024);
        for error in stops.into_iter().filter_map(Result::err) {
            // The actor has ended by then.
            assert_eq!(error.kind(), RequestErrorKind::UnknownName);
        }
        assert!(server.statistics().refused_busy >= busy + 76);
    }
}

/// Asks the peer itself, whereas [`Client::stop`] looks up the actor in the registry first.
async fn stop(client: &Client, server: &Server, name: &str) -> Result<Ack, RequestError> {
    let stop = ActorStop::new(name).unwrap();
    client.request(server.peer(), stop).deadline(secs(60)).await
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_answered_though_the_name_of_its_actor_is_not_released() {
    let world = MemoryWorld::new();
    let server = world
        .server()
        .shutdown_timeout(secs(2))
        .actor_type(world::echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    let start = ActorStart::new("a", "echo");
    client.start(server.peer(), start).await.unwrap();
    world.registry.set_away(true);
    let begun = world::clock();
    for pause in [Duration::ZERO, secs(1)] {
        pass(pause).await;
        let error = stop(client, &server, "a").await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::StopFailed, "{error:?}");
        assert!(error.may_have_executed() && error.is_retryable());
        assert!(error.text().contains("released"), "{error}");
        // Two seconds of its own, and one more; the second stop arrives when that time has passed.
        assert_eq!(begun.elapsed().as_secs(), 3 + pause.as_secs());
    }
    assert_eq!(server.statistics().requests_failed, 2);
    world.registry.set_away(false);
    world.until_free("a").await;
    let error = stop(client, &server, "a").await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::UnknownName);
}

/// Needs real workers: the actor blocks one of them, so no abort ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_an_actor_that_does_not_end_is_answered() {
    let world = World::on_real_memory();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let (begins, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let server = world
        .server()
        .shutdown_timeout(Duration::from_millis(1))
        .actor_fn("stuck", move |_start, _ctx| {
            let (released, begins) = (released.clone(), begins.clone());
            async move {
                begins.send(())?;
                let _ = released.lock().unwrap().recv();
                Ok(())
            }
        });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    let start = ActorStart::new("s", "stuck");
    client.start(server.peer(), start).await.unwrap();
    begun.recv().await.unwrap();
    for first in [true, false] {
        let begun = world::clock();
        let error = stop(client, &server, "s").await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::StopFailed, "{error:?}");
        assert!(error.text().contains("did not end"), "{error}");
        assert!(begun.elapsed() >= secs(u64::from(first)));
        assert!(begun.elapsed() < world.bound(secs(2)));
    }
    release.send(()).unwrap();
    world.until_free("s").await;
}

const ADDRESS: &str = "127.0.0.1:7000";

/// Polls a bind at most `polls` times, and drops it if it has not ended by then. Between two polls
/// all other tasks take a step, and `pause` passes.
async fn bind_polled(world: &World, polls: usize, pause: Duration) -> Option<Server> {
    let mut bind = pin!(world.server().lease_ttl(secs(15)).bind(ADDRESS));
    for _ in 0..polls {
        if let Some(server) = bind.as_mut().now_or_never() {
            return Some(server.unwrap());
        }
        tokio::task::yield_now().await;
        if pause > Duration::ZERO {
            pass(pause).await;
        }
    }
    None
}

/// Drops a bind at every await: within `bound` no lease is left, and the address can be bound.
async fn dropped_anywhere(
    faults: &[(MemoryOperation, MemoryFault)],
    pause: Duration,
    bound: Duration,
) {
    for polls in 0..1_000 {
        let world = MemoryWorld::new();
        for (operation, fault) in faults {
            world.registry.inject(*operation, *fault);
        }
        if let Some(server) = bind_polled(&world, polls, pause).await {
            assert!(polls > 1, "it was never dropped after it had begun");
            // A fault that is left over may hit the shutdown.
            let _ = server.shutdown().await;
            return;
        }
        pass(bound).await;
        assert_eq!(world.leases(), 0, "dropped after {polls} polls");
        assert_eq!(world.keys(), [""; 0], "dropped after {polls} polls");
        let again = world.server().bind(ADDRESS);
        let again = tokio::time::timeout(secs(10), again).await;
        let _ = again.unwrap().unwrap().shutdown().await;
    }
    panic!("the bind does not end");
}

#[tokio::test(start_paused = true)]
async fn a_bind_dropped_anywhere_leaves_nothing_behind() {
    dropped_anywhere(&[], Duration::ZERO, secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_bind_dropped_anywhere_leaves_nothing_behind_at_a_slow_registry() {
    let delay = MemoryFault::Delay(Duration::from_millis(500));
    let faults = [
        (MemoryOperation::Grant, delay),
        (MemoryOperation::Claim, delay),
        (MemoryOperation::Revoke, delay),
    ];
    dropped_anywhere(&faults, Duration::from_millis(100), secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_bind_dropped_anywhere_leaves_nothing_behind_whatever_reply_is_lost() {
    for operation in [
        MemoryOperation::Claim,
        MemoryOperation::Revoke,
        // Nobody knows the id of such a lease, so it expires.
        MemoryOperation::Grant,
    ] {
        let faults = [(operation, MemoryFault::LoseReply)];
        // The time to live, and the time limit of one exchange.
        let bound = match operation {
            MemoryOperation::Grant => secs(15 + 2),
            _ => secs(2 * 2 + 1),
        };
        if operation == MemoryOperation::Grant {
            // The bind fails without being dropped, so it is dropped only once, while it waits.
            let world = MemoryWorld::new();
            world.registry.inject(operation, MemoryFault::LoseReply);
            assert!(bind_polled(&world, 3, Duration::ZERO).await.is_none());
            pass(bound).await;
            assert_eq!(world.leases(), 0);
            let server = world.server().bind(ADDRESS).await.unwrap();
            server.shutdown().await.unwrap();
        } else {
            dropped_anywhere(&faults, Duration::from_millis(500), bound).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bind_dropped_while_it_waits_for_the_address_never_takes_it() {
    let world = MemoryWorld::new();
    drop(world.server().bind(ADDRESS).await.unwrap());
    pass(secs(1)).await;
    assert!(bind_polled(&world, 3, secs(1)).await.is_none());
    let grants = world.registry.calls(MemoryOperation::Grant);
    // The lease of the server that was dropped.
    assert_eq!(world.leases(), 1);
    pass(secs(20)).await;
    assert_eq!(world.leases(), 0);
    assert_eq!(world.registry.calls(MemoryOperation::Grant), grants);
    let server = world.server().bind(ADDRESS).await.unwrap();
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bind_dropped_while_it_joins_frees_its_port_at_once() {
    let world = MemoryWorld::new();
    world.registry.set_away(true);
    let environment = world.environment();
    let builder = world.server_in(environment.clone());
    let mut bind = Box::pin(builder.bind(ADDRESS));
    let port_is_taken = async || {
        let again = world.server_in(environment.clone()).bind(ADDRESS);
        let again = tokio::time::timeout(Duration::from_millis(1), again).await;
        // If the port is free, it listens, and waits for the registry.
        again.is_ok_and(|failed| failed.unwrap_err().kind() == ServerErrorKind::Listen)
    };
    assert!(bind.as_mut().now_or_never().is_none());
    // The start gets as far as the registry.
    pass(Duration::from_millis(1)).await;
    assert_eq!(world.registry.calls(MemoryOperation::Grant), 1);
    assert!(port_is_taken().await);
    drop(bind);
    pass(Duration::from_millis(1)).await;
    assert!(!port_is_taken().await);
}

/// A start continues though nobody polls it, so the server may serve when its bind is dropped.
#[tokio::test(start_paused = true)]
async fn a_bind_dropped_once_the_server_serves_shuts_it_down() {
    let world = MemoryWorld::new();
    let builder = world.server();
    let mut events = builder.events();
    let mut bind = Box::pin(builder.bind(ADDRESS));
    assert!(bind.as_mut().now_or_never().is_none());
    let changed = |state| ServerEvent::StateChanged {
        state,
        reason: None,
    };
    assert_eq!(events.next().await, Some(changed(ServerState::Serving)));
    drop(bind);
    for state in [ServerState::Draining, ServerState::Stopped] {
        assert_eq!(events.next().await, Some(changed(state)));
    }
    assert_eq!(events.next().await, None);
    assert_eq!(world.keys(), [""; 0]);
    assert_eq!(world.leases(), 0);
    let server = world.server().bind(ADDRESS).await.unwrap();
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_server_that_does_not_start_keeps_its_cause() {
    let world = MemoryWorld::new();
    let server = world.server().actor_fn("no/type", async |_, _| Ok(()));
    let error = server.bind(ADDRESS).await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Configuration);
    assert!(error.source().unwrap().is::<NameError>());

    let holder = world.server().bind(ADDRESS).await.unwrap();
    let error = world.server().bind(ADDRESS).await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Listen);
    assert!(error.source().unwrap().is::<std::io::Error>());
    holder.shutdown().await.unwrap();

    world.registry.set_refusing(true);
    let error = world.server().bind(ADDRESS).await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Registry);
    let cause = error.source().unwrap().downcast_ref::<RegistryError>();
    assert!(error.to_string().contains(&cause.unwrap().to_string()));
}
