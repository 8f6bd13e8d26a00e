//! The statistics of clients and servers.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::time::Duration;

use actorgrid::{
    ActorStart, ActorType, BoxError, Client, ClientStatistics, EchoMsg, Kind, MemoryFault,
    MemoryOperation, MessageSet, Request, RequestErrorKind, ServerState, ServerStatistics,
};
use tokio::sync::mpsc;
use world::{MemoryWorld, World, clock, echo_type, eventually, on_both_registries, pass, secs};

on_both_registries! {
    requests_within_a_peer_and_from_elsewhere,
    actors_by_how_they_start_and_end,
    an_actor_knows_its_key,
}

const ANY_PORT: &str = "127.0.0.1:0";

async fn requests_within_a_peer_and_from_elsewhere(world: World) {
    let server = world.server().actor_type(echo_type("echo"));
    let server = server.bind(ANY_PORT).await.unwrap();
    let outside = world.client();
    assert_eq!(outside.statistics(), ClientStatistics::default());
    let start = ActorStart::new("a", "echo");
    server.client().start(server.peer(), start).await.unwrap();
    for client in [server.client(), &outside, &outside.clone()] {
        client.request("a", EchoMsg::new("hi")).await.unwrap();
    }

    let local = server.client().statistics();
    assert_eq!((local.requests, local.local_tries), (2, 2));
    assert_eq!((local.remote_tries, local.lookups), (0, 0));
    assert_eq!((local.connections_opened, local.repeats), (0, 0));
    // The second request used the cached location and the connection of the first.
    let remote = outside.statistics();
    let mut expected = ClientStatistics::default();
    expected.requests = 2;
    expected.remote_tries = 2;
    expected.lookups = 1;
    expected.connections_opened = 1;
    assert_eq!(remote, expected);

    let counted = server.statistics();
    assert_eq!(counted.requests_admitted, 4);
    assert_eq!(
        (counted.connections_taken, counted.connections_open),
        (1, 1)
    );
    outside.close().await;
    assert_eq!(outside.statistics().connections_ended, 1);
    eventually("the connection has ended", || {
        server.statistics().connections_open == 0
    })
    .await;
    assert_eq!(server.statistics().connections_taken, 1);
    assert_eq!(server.statistics().requests_failed, 0);
}

async fn actors_by_how_they_start_and_end(world: World) {
    let failing = ActorType::new("failing", async |start: ActorStart| {
        if start.name() == "panics" {
            panic!("on purpose");
        }
        Err::<actorgrid::BoxActor, BoxError>("no".into())
    });
    let panicking = ActorType::from_fn("panicking", async |_start, _ctx| panic!("on purpose"));
    let server = world
        .server()
        .actor_type(echo_type("echo"))
        .actor_type(failing)
        .actor_type(panicking);
    let server = server.bind(ANY_PORT).await.unwrap();
    let client = server.client();
    let start = |name: &str, actor_type: &str| {
        client.start(server.peer(), ActorStart::new(name, actor_type))
    };
    start("a", "echo").await.unwrap();
    start("b", "echo").await.unwrap();
    let running = server.statistics();
    assert_eq!((running.actors_running, running.actors_started), (2, 2));

    for (name, actor_type, kind) in [
        ("a", "echo", RequestErrorKind::AlreadyRunning),
        ("c", "nosuch", RequestErrorKind::UnknownActorType),
        ("c", "failing", RequestErrorKind::StartFailed),
        ("panics", "failing", RequestErrorKind::StartFailed),
    ] {
        let error = start(name, actor_type).await.unwrap_err();
        assert_eq!(error.kind(), kind);
    }
    start("d", "panicking").await.unwrap();
    client.stop("b").await.unwrap();
    eventually("two actors have ended", || {
        server.statistics().actors_ended == 2
    })
    .await;
    let counted = server.statistics();
    assert_eq!((counted.actors_running, counted.actors_started), (1, 3));
    assert_eq!((counted.starts_refused, counted.starts_failed), (2, 2));
    assert_eq!(counted.actor_panics, 2);
    // The four failed starts: each of them was answered by the peer.
    assert_eq!(counted.requests_failed, 4);

    server.shutdown().await.unwrap();
    let counted = server.statistics();
    assert_eq!((counted.actors_running, counted.actors_ended), (0, 3));
    assert_eq!((counted.sessions, counted.sessions_fenced), (1, 0));
}

async fn an_actor_knows_its_key(world: World) {
    let (sender, mut ids) = mpsc::unbounded_channel();
    let knowing = ActorType::from_fn("knowing", move |_start, ctx| {
        let sender = sender.clone();
        async move { Ok(sender.send(ctx.id())?) }
    });
    let server = world
        .server()
        .actor_type(knowing)
        .bind(ANY_PORT)
        .await
        .unwrap();
    let start = ActorStart::new("k-1", "knowing");
    server.client().start(server.peer(), start).await.unwrap();
    assert_eq!(ids.recv().await.unwrap(), "test.actor.k-1");
}

#[derive(MessageSet)]
enum Nothing {
    Start(Request<ActorStart>),
}

#[tokio::test(start_paused = true)]
async fn refusals_by_their_cause() {
    let world = MemoryWorld::new();
    let server = world.server().bind(ANY_PORT).await.unwrap();
    let outside = world.client();
    for (client, remote) in [(server.client(), false), (&outside, true)] {
        let before = server.statistics();
        let mut mailbox = server.mailbox::<Request<EchoMsg>>("m", 1).await.unwrap();
        let other = server.mailbox::<Nothing>("n", 1).await.unwrap();
        let short = Duration::from_millis(100);
        let ask = |name: &str| client.request(name, EchoMsg::new("hi")).deadline(short);
        let kind_of = async |name: &str| ask(name).await.unwrap_err().kind();

        assert_eq!(kind_of("nobody").await, RequestErrorKind::UnknownName);
        assert_eq!(kind_of("n").await, RequestErrorKind::UnknownMessage);
        // One request waits in the queue until its deadline; the other one has a shorter deadline
        // and finds the queue full, again and again.
        let (queued, busy) = tokio::join!(ask("m").deadline(2 * short), ask("m"));
        assert_eq!(
            queued.unwrap_err().kind(),
            RequestErrorKind::DeadlineExceeded
        );
        assert_eq!(busy.unwrap_err().kind(), RequestErrorKind::Busy);
        // By now the peer, too, knows that nobody waits any more.
        pass(Duration::from_millis(10)).await;
        // The first is answered with an error, the second one not at all.
        let answers = async {
            for fail in [true, false] {
                let request = mailbox.recv().await.unwrap();
                if fail {
                    request.fail("no").unwrap();
                }
            }
        };
        let asks = async {
            assert_eq!(kind_of("m").await, RequestErrorKind::Application);
            assert_eq!(kind_of("m").await, RequestErrorKind::NoReply);
        };
        tokio::join!(answers, asks);
        drop(other);
        mailbox.close().await;

        let after = server.statistics();
        let grown = |number: fn(&ServerStatistics) -> u64| number(&after) - number(&before);
        assert_eq!(grown(|counted| counted.refused_unknown_message), 1);
        assert_eq!(grown(|counted| counted.requests_admitted), 3);
        let expired_or_abandoned = |counted: &ServerStatistics| {
            // A remote caller may withdraw its request just before the peer sees the deadline pass.
            counted.requests_expired + counted.requests_abandoned
        };
        assert_eq!(
            expired_or_abandoned(&after) - expired_or_abandoned(&before),
            1
        );
        assert_eq!(grown(|counted| counted.requests_failed), 1);
        assert_eq!(grown(|counted| counted.requests_unanswered), 1);
        let met = client.statistics();
        assert!(met.busy >= 2 && met.repeats >= met.busy - 1, "{met:?}");
        assert_eq!(grown(|counted| counted.refused_busy), met.busy);
        assert_eq!((met.unknown_names, met.deadlines_exceeded), (1, 1));
        let tries = met.local_tries + met.remote_tries;
        assert_eq!(tries, met.requests - met.unknown_names + met.repeats);
        assert_eq!(met.remote_tries == 0, !remote);
    }
}

#[tokio::test(start_paused = true)]
async fn a_location_that_proved_wrong_is_forgotten_and_its_peer_not_reached() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(echo_type("echo"));
    let server = server.bind(ANY_PORT).await.unwrap();
    let client = world.client();
    let start = ActorStart::new("a", "echo");
    client.start(server.peer(), start).await.unwrap();
    client.request("a", EchoMsg::new("hi")).await.unwrap();
    client.stop("a").await.unwrap();

    let error = client.request("a", EchoMsg::new("hi")).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::UnknownName);
    let met = client.statistics();
    assert_eq!((met.not_held, met.locations_forgotten), (1, 1));
    assert_eq!((met.unknown_names, met.repeats), (1, 0));
    assert_eq!(server.statistics().refused_not_held, 1);

    // The peer crashes, and its keys stay for a while. The open connection breaks under the first
    // request, and the second one cannot open another.
    let peer = server.peer().clone();
    drop(server);
    for kind in [
        RequestErrorKind::ConnectionLost,
        RequestErrorKind::Unreachable,
    ] {
        let ask = client.start(&peer, ActorStart::new("a", "echo"));
        let error = ask.deadline(secs(1)).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        eventually("the connection has ended", || {
            client.statistics().connections_ended == 1
        })
        .await;
    }
    let met = client.statistics();
    assert_eq!((met.connections_lost, met.connections_opened), (1, 1));
    // The second was retried until its deadline.
    assert!(met.unreachable > 1, "{met:?}");
    assert_eq!(met.connections_failed, met.unreachable);
    assert_eq!(met.repeats, met.unreachable - 1);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_end_and_begin() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(echo_type("echo"));
    let server = server.bind(ANY_PORT).await.unwrap();
    let counted = server.statistics();
    assert_eq!((counted.sessions, counted.sessions_fenced), (1, 0));
    let start = ActorStart::new("a", "echo");
    server.client().start(server.peer(), start).await.unwrap();
    world.expire_leases();
    eventually("the server has joined again", || {
        server.statistics().sessions == 2
    })
    .await;
    server.wait_for(ServerState::Serving).await;
    let counted = server.statistics();
    assert_eq!(counted.sessions_fenced, 1);
    assert_eq!((counted.actors_running, counted.actors_ended), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_does_not_answer_is_waited_for_as_long_as_was_set() {
    let world = MemoryWorld::new();
    let server = world.server().bind(ANY_PORT).await.unwrap();
    for (set, expected) in [(None, secs(2)), (Some(secs(5)), secs(5))] {
        let mut builder = Client::builder("test", world.registry())
            .environment(world.environment())
            .deadline(secs(8));
        if let Some(timeout) = set {
            builder = builder.registry_timeout(timeout);
        }
        let client = builder.build();
        for operation in [MemoryOperation::List, MemoryOperation::Peek] {
            let slow = MemoryFault::Delay(secs(7));
            world.registry.inject(operation, slow);
            let begun = clock();
            if operation == MemoryOperation::List {
                let error = client.query(Kind::Peer).await.unwrap_err();
                assert_eq!(error.kind(), RequestErrorKind::Registry);
            } else {
                // The lookup is retried.
                let ask = client.request(server.peer(), EchoMsg::new("hi"));
                let error = ask.await.unwrap_err();
                assert_eq!(error.kind(), RequestErrorKind::UnknownMessage);
                let met = client.statistics();
                assert_eq!((met.registry_failures, met.lookups), (1, 2));
            }
            let took = begun.elapsed();
            assert!(took >= expected && took < expected + secs(1), "{took:?}");
        }
    }
}
