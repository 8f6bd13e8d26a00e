//! Watches: what comes and goes, over every break of the registry.

#![allow(clippy::unwrap_used)] // what stands beside the test functions, too

mod world;

use actorgrid::{ActorStart, Kind, WatchEvent};
use world::{MemoryWorld, echo_type, pass, secs};

#[tokio::test(start_paused = true)]
async fn watches_tell_what_comes_and_goes_over_every_break() {
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
    let WatchEvent::Disappeared(gone) = changes.next().await else {
        panic!("it disappeared")
    };
    assert_eq!(gone, appeared);

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
            other => panic!("{other:?}"),
        }
    }
    // A value that nobody can read is skipped, and one of a foreign key too.
    world.registry.overwrite("test.actor.mad", "{");
    assert_eq!(client.query(Kind::Actor).await.unwrap(), [last]);
}
