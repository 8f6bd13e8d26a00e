//! Watches: what appears and disappears, over every break of the registry.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use actorgrid::{ActorStart, EchoMsg, Kind, MemoryOperation, RequestErrorKind, WatchEvent};
use world::{MemoryWorld, World, echo_type, on_both_registries, pass, secs};

on_both_registries! {
    a_disappearance_is_reported_with_its_peer,
}

async fn a_disappearance_is_reported_with_its_peer(world: World) {
    let bind = async || {
        let server = world.server().actor_type(echo_type("echo"));
        server.bind("127.0.0.1:0").await.unwrap()
    };
    let (one, two) = (bind().await, bind().await);
    let client = world.client();
    for (actor, server) in [("a", &one), ("b", &two)] {
        let start = ActorStart::new(actor, "echo");
        client.start(server.peer(), start).await.unwrap();
    }
    let mut watches = Vec::new();
    for kind in [Kind::Peer, Kind::Actor, Kind::Mailbox] {
        watches.push(client.watch(kind).await.unwrap());
    }
    drop(two.shutdown().await);
    for (before, mut changes) in watches {
        let lost: Vec<_> = before
            .into_iter()
            .filter(|registration| registration.peer == *two.peer())
            .collect();
        assert!(!lost.is_empty());
        for _ in 0..lost.len() {
            let event = tokio::time::timeout(secs(60), changes.next()).await;
            let WatchEvent::Disappeared(gone) = event.unwrap() else {
                panic!("nothing else changes")
            };
            // The whole registration as it was, so that the reader knows where it ran.
            assert!(lost.contains(&gone), "{gone:?}");
            assert_eq!(gone.peer, *two.peer());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_name_reads_no_other_names() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    for actor in ["worker-10", "worker-1-b"] {
        let start = ActorStart::new(actor, "echo");
        client.start(server.peer(), start).await.unwrap();
    }
    let lists = world.registry.calls(MemoryOperation::List);
    let request = || {
        client
            .request("worker-1", EchoMsg::new("x"))
            .wait_for_name()
    };
    let error = request().deadline(secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::DeadlineExceeded);
    let (answer, _) = tokio::join!(request(), async {
        for fault in 0..3 {
            pass(secs(1)).await;
            if fault < 2 {
                world.registry.break_watches();
            }
        }
        let start = ActorStart::new("worker-1", "echo");
        client.start(server.peer(), start).await.unwrap();
    });
    assert_eq!(answer.unwrap().msg, "x from worker-1");
    assert_eq!(world.registry.calls(MemoryOperation::List), lists);
}

#[tokio::test(start_paused = true)]
async fn watches_report_every_change_over_every_break() {
    let world = MemoryWorld::new();
    let server = world
        .server()
        .annotation("zone-b")
        .annotation("zone-a")
        .actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let (peers, mut changes) = client.watch(Kind::Peer).await.unwrap();
    assert_eq!(peers[0].name, *server.peer());
    assert_eq!(*peers[0].annotations, ["zone-a", "zone-b"]);
    let (actors, mut actor_changes) = client.watch(Kind::Actor).await.unwrap();
    assert_eq!(actors, []);

    let second = world.server().bind("127.0.0.1:0").await.unwrap();
    let WatchEvent::Appeared(appeared) = changes.next().await else {
        panic!("it appeared")
    };
    assert_eq!(appeared.name, *second.peer());
    world.registry.break_watches();
    second.shutdown().await.unwrap();
    world.registry.compact();
    // Its history is gone, but its end is reported.
    assert_eq!(changes.next().await, WatchEvent::HistoryLost);
    assert_eq!(changes.next().await, WatchEvent::Disappeared(appeared));

    client
        .start(server.peer(), ActorStart::new("a", "echo"))
        .await
        .unwrap();
    world.registry.set_refusing(true);
    pass(secs(3)).await;
    world.registry.set_refusing(false);
    client.stop("a").await.unwrap();
    client
        .start(server.peer(), ActorStart::new("a", "echo"))
        .await
        .unwrap();
    let last = client.query(Kind::Actor).await.unwrap().remove(0);
    let mut view = None;
    while view.as_ref() != Some(&last) {
        match tokio::time::timeout(secs(60), actor_changes.next())
            .await
            .unwrap()
        {
            WatchEvent::Appeared(now) => {
                assert!(view.is_none_or(|_| false), "an actor appeared twice");
                assert_eq!(now.peer, *server.peer());
                view = Some(now);
            }
            WatchEvent::Disappeared(then) => assert_eq!(view.take(), Some(then)),
            WatchEvent::HistoryLost => {}
            other => panic!("{other:?}"),
        }
    }
    // A value that cannot be parsed is skipped, and so is one under a foreign key.
    world.registry.overwrite("test.actor.mad", "{");
    assert_eq!(client.query(Kind::Actor).await.unwrap(), [last]);
}

/// Other keys change so much that the history is compacted beyond the last change of a quiet kind:
/// a watch of that kind still resumes where it was.
#[tokio::test(start_paused = true)]
async fn a_break_of_a_quiet_watch_loses_no_history() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let (_, mut changes) = client.watch(Kind::Actor).await.unwrap();
    let mut expected = 0;
    for round in 0..3 {
        for value in ["1", "2", "3"] {
            world.registry.overwrite("another.key", value);
            let quiet = tokio::time::timeout(secs(1), changes.next()).await;
            assert!(quiet.is_err(), "{quiet:?}");
        }
        world.registry.compact();
        let lists = world.registry.calls(MemoryOperation::List);
        world.registry.break_watches();
        let start = ActorStart::new(format!("a{round}"), "echo");
        client.start(server.peer(), start).await.unwrap();
        expected += 1;
        let event = tokio::time::timeout(secs(1), changes.next()).await.unwrap();
        let WatchEvent::Appeared(appeared) = event else {
            panic!("{event:?}")
        };
        assert_eq!(appeared.name.as_str(), format!("a{round}"));
        assert_eq!(world.registry.calls(MemoryOperation::List), lists);
    }
    assert_eq!(client.query(Kind::Actor).await.unwrap().len(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_that_wait_for_a_name_share_a_watch() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let before = world.registry.calls(MemoryOperation::Watch);
    let request = || client.request("late", EchoMsg::new("x")).wait_for_name();
    let waiting = futures_util::future::join_all((0..1_000).map(|_| async { request().await }));
    let (answers, ()) = tokio::join!(waiting, async {
        pass(secs(2)).await;
        assert_eq!(world.registry.calls(MemoryOperation::Watch), before + 1);
        let start = ActorStart::new("late", "echo");
        client.start(server.peer(), start).await.unwrap();
    });
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    // The mailbox has room for a hundred; all other requests were rejected only for that reason.
    assert!(answered >= 100, "{answered}");
}
