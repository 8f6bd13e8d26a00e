//! A grid in one process: actors, requests, a leader.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use actorgrid::{ActorStart, EchoMsg, Kind, Name, RequestErrorKind};
use world::{World, echo_type, on_both_registries};

on_both_registries! {
    an_actor_on_another_peer_is_started_asked_and_stopped,
}

async fn an_actor_on_another_peer_is_started_asked_and_stopped(world: World) {
    let one = world.server().bind("127.0.0.1:0").await.unwrap();
    let two = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();

    let peers = client.query(Kind::Peer).await.unwrap();
    assert_eq!(peers.len(), 2);
    client
        .start(two.peer(), ActorStart::new("worker-1", "echo"))
        .await
        .unwrap();
    for client in [&client, one.client(), two.client()] {
        let answer = client
            .request("worker-1", EchoMsg::new("hi"))
            .await
            .unwrap();
        assert_eq!(answer.msg, "hi from worker-1");
    }
    let again = client
        .start(two.peer(), ActorStart::new("worker-1", "echo"))
        .await
        .unwrap_err();
    assert_eq!(again.kind(), RequestErrorKind::AlreadyRunning);
    let worker = client
        .find(Kind::Actor, &Name::new("worker-1").unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again.token(), Some(worker.token));
    assert_eq!(again.holder(), Some(two.peer()));

    client.stop("worker-1").await.unwrap();
    let gone = client
        .request("worker-1", EchoMsg::new("hi"))
        .await
        .unwrap_err();
    assert_eq!(gone.kind(), RequestErrorKind::UnknownName);
    one.shutdown().await.unwrap();
    two.shutdown().await.unwrap();
    assert_eq!(client.query(Kind::Peer).await.unwrap(), []);
}
