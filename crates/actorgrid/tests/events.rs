//! The events of a server: its states, its actors, and the leader.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::sync::Arc;
use std::time::Duration;

use actorgrid::{
    ActorEnd, ActorStart, ActorType, FenceReason, MemoryFault, MemoryOperation, Name, Server,
    ServerEvent, ServerEvents, ServerState, Token,
};
use futures_util::{FutureExt as _, StreamExt};
use tokio::sync::Notify;
use world::{MemoryWorld, World, echo_type, on_both_registries, pass, secs};

on_both_registries! {
    every_way_in_which_an_actor_ends_is_reported,
    the_events_from_the_first_state_to_the_last_are_in_order,
    a_fence_is_reported_with_its_reason_however_short_it_is,
}

fn changed(state: ServerState) -> ServerEvent {
    ServerEvent::StateChanged {
        state,
        reason: None,
    }
}

async fn next(events: &mut ServerEvents) -> ServerEvent {
    let event = tokio::time::timeout(secs(60), events.next()).await;
    event.unwrap().unwrap()
}

async fn started(events: &mut ServerEvents, actor: &str) -> (Name, Token) {
    match next(events).await {
        ServerEvent::ActorStarted {
            name,
            actor_type,
            token,
        } if name.as_str() == actor => (actor_type, token),
        other => panic!("not the start of {actor}: {other:?}"),
    }
}

async fn ended(events: &mut ServerEvents, actor: &str) -> (Token, ActorEnd) {
    match next(events).await {
        ServerEvent::ActorEnded {
            name, token, end, ..
        } if name.as_str() == actor => (token, end),
        other => panic!("not the end of {actor}: {other:?}"),
    }
}

/// Creates the type of actors that end as their names say. Those that run until they are stopped
/// first notify `waits`.
fn mortal(waits: &Arc<Notify>) -> ActorType {
    let waits = waits.clone();
    ActorType::from_fn("mortal", move |start, ctx| {
        let waits = waits.clone();
        async move {
            match start.name() {
                "fails" => return Err("of a thousand causes ".repeat(100).into()),
                "panics" => panic!("of fright"),
                _ => waits.notify_one(),
            }
            match start.name() {
                "deaf" => std::future::pending().await,
                _ => drop(ctx.stopping().await),
            }
            Ok(())
        }
    })
}

async fn every_way_in_which_an_actor_ends_is_reported(world: World) {
    let waits: Arc<Notify> = Arc::default();
    let server = world
        .server()
        .shutdown_timeout(secs(1))
        .actor_type(mortal(&waits))
        .actor("unborn", async |_start| -> Result<actorgrid::BoxActor, _> {
            Err("not today".into())
        })
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut events = server.events();
    let client = world.client();
    let start = async |name: &str| {
        let start = ActorStart::new(name, "mortal");
        client.start(server.peer(), start).await.unwrap();
    };

    start("returns").await;
    let (actor_type, token) = started(&mut events, "returns").await;
    assert_eq!(actor_type.as_str(), "mortal");
    waits.notified().await;
    client.stop("returns").await.unwrap();
    assert_eq!(
        ended(&mut events, "returns").await,
        (token, ActorEnd::Returned)
    );

    start("fails").await;
    started(&mut events, "fails").await;
    let (_, end) = ended(&mut events, "fails").await;
    let ActorEnd::Failed(text) = &end else {
        panic!("{end:?}")
    };
    assert!(text.starts_with("of a thousand causes") && text.len() <= 512);
    assert_eq!(end.as_str(), "failed");

    start("panics").await;
    started(&mut events, "panics").await;
    let (_, end) = ended(&mut events, "panics").await;
    assert_eq!(end, ActorEnd::Panicked("of fright".into()));

    start("deaf").await;
    started(&mut events, "deaf").await;
    waits.notified().await;
    client.stop("deaf").await.unwrap();
    assert_eq!(ended(&mut events, "deaf").await.1, ActorEnd::Aborted);

    let start = ActorStart::new("u", "unborn");
    client.start(server.peer(), start).await.unwrap_err();
    match next(&mut events).await {
        ServerEvent::StartFailed { name, end, .. } => {
            assert_eq!(name.as_str(), "u");
            assert_eq!(end, ActorEnd::Failed("not today".into()));
        }
        other => panic!("not a failed start: {other:?}"),
    }
    server.shutdown().await.unwrap();
}

async fn the_events_from_the_first_state_to_the_last_are_in_order(world: World) {
    let acts = Arc::new(Notify::new());
    let acting = acts.clone();
    let builder = world
        .server()
        .actor_fn("leader", move |_start, ctx| {
            let acting = acting.clone();
            async move {
                acting.notify_one();
                ctx.stopping().await;
                Ok(())
            }
        })
        .actor_type(echo_type("echo"));
    let mut events = builder.events();
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    assert_eq!(next(&mut events).await, changed(ServerState::Serving));
    let (_, token) = started(&mut events, "leader").await;
    assert_eq!(
        next(&mut events).await,
        ServerEvent::LeaderStarted { token }
    );
    acts.notified().await;
    server.shutdown().await.unwrap();
    assert_eq!(next(&mut events).await, changed(ServerState::Draining));
    let end = ended(&mut events, "leader").await;
    assert_eq!(end, (token, ActorEnd::Returned));
    assert_eq!(
        next(&mut events).await,
        ServerEvent::LeaderStopped { token }
    );
    assert_eq!(next(&mut events).await, changed(ServerState::Stopped));
    assert_eq!(events.next().await, None);
    // The end is also reported by the `Stream`, and to readers that subscribe after it.
    assert_eq!(StreamExt::next(&mut events).await, None);
    assert_eq!(server.events().next().await, None);
    assert_eq!(server.fence_reason(), None);
}

async fn a_fence_is_reported_with_its_reason_however_short_it_is(world: World) {
    let waits: Arc<Notify> = Arc::default();
    let server = world.server().actor_type(mortal(&waits));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    assert_eq!(server.fence_reason(), None);
    let mut events = server.events();
    let start = ActorStart::new("a", "mortal");
    world.client().start(server.peer(), start).await.unwrap();
    started(&mut events, "a").await;
    waits.notified().await;
    let peer_key = format!("test.peer.{}", server.peer());
    assert!(world.delete(&peer_key));
    // Read only once the peer serves again: none of the states in between may be lost.
    pass(secs(1)).await;
    server.wait_for(ServerState::Serving).await;
    let reason = Some(FenceReason::KeyLost);
    let fenced = ServerEvent::StateChanged {
        state: ServerState::Fenced,
        reason,
    };
    assert_eq!(next(&mut events).await, fenced);
    assert_eq!(ended(&mut events, "a").await.1, ActorEnd::Returned);
    assert_eq!(next(&mut events).await, changed(ServerState::Rejoining));
    assert_eq!(next(&mut events).await, changed(ServerState::Serving));
    assert_eq!(server.fence_reason(), reason);
    assert_eq!(server.handle().fence_reason(), reason);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_lags_learns_how_much_it_missed_and_gets_the_rest() {
    let world = MemoryWorld::new();
    let waits: Arc<Notify> = Arc::default();
    let server = world.server().actor_type(mortal(&waits));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let mut events = server.events();
    let client = server.client();
    for i in 0..600 {
        let start = ActorStart::new(format!("a-{i}"), "mortal");
        client.start(server.peer(), start).await.unwrap();
        client.stop(&format!("a-{i}")).await.unwrap();
    }
    assert_eq!(next(&mut events).await, ServerEvent::Missed(2 * 600 - 1024));
    for i in 600 - 512..600 {
        started(&mut events, &format!("a-{i}")).await;
        ended(&mut events, &format!("a-{i}")).await;
    }
    assert_eq!(events.next().now_or_never(), None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_dropped_or_does_not_start_ends_its_events() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let handle = server.handle();
    let mut events = handle.events();
    drop(server);
    assert_eq!(next(&mut events).await, changed(ServerState::Stopped));
    assert_eq!(events.next().await, None);
    assert_eq!(handle.fence_reason(), Some(FenceReason::Dropped));

    let builder = world.server().lease_ttl(secs(1));
    let mut events = builder.events();
    let refused: Result<Server, _> = builder.bind("127.0.0.1:0").await;
    refused.unwrap_err();
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn an_actor_of_another_type_under_the_leaders_name_is_no_leader() {
    let world = MemoryWorld::new();
    let waits: Arc<Notify> = Arc::default();
    let server = world.server().actor_type(mortal(&waits));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let mut events = server.events();
    let start = ActorStart::new("leader", "mortal");
    server.client().start(server.peer(), start).await.unwrap();
    started(&mut events, "leader").await;
    server.client().stop("leader").await.unwrap();
    ended(&mut events, "leader").await;
    assert_eq!(events.next().now_or_never(), None);
}

fn fenced(reason: FenceReason) -> ServerEvent {
    ServerEvent::StateChanged {
        state: ServerState::Fenced,
        reason: Some(reason),
    }
}

/// With several worker threads, the supervisor and the actors notice a fence at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fence_is_reported_before_the_ends_that_it_causes() {
    const ACTORS: usize = 20;
    for _ in 0..30 {
        let world = World::on_real_memory();
        let waits: Arc<Notify> = Arc::default();
        let builder = world.server().actor_type(mortal(&waits));
        let mut events = builder.events();
        let server = builder.bind("127.0.0.1:0").await.unwrap();
        assert_eq!(next(&mut events).await, changed(ServerState::Serving));
        for i in 0..ACTORS {
            let name = format!("a-{i}");
            let start = ActorStart::new(&name, "mortal");
            server.client().start(server.peer(), start).await.unwrap();
            started(&mut events, &name).await;
            waits.notified().await;
        }
        assert!(world.delete(&format!("test.peer.{}", server.peer())));
        assert_eq!(next(&mut events).await, fenced(FenceReason::KeyLost));
        for _ in 0..ACTORS {
            let event = next(&mut events).await;
            assert!(matches!(event, ServerEvent::ActorEnded { .. }), "{event:?}");
        }
        assert_eq!(next(&mut events).await, changed(ServerState::Rejoining));
    }
}

/// An actor that reads the clock notices the end of the session before the keeper and the watchdog
/// do.
#[tokio::test(start_paused = true)]
async fn a_fence_that_an_actor_notices_first_is_reported_before_the_end_of_the_actor() {
    let world = MemoryWorld::new();
    let environment = world.environment();
    let (acts, go): (Arc<Notify>, Arc<Notify>) = Default::default();
    let (acting, gone) = (acts.clone(), go.clone());
    let server = world
        .server_in(environment.clone())
        .actor_fn("reader", move |_start, ctx| {
            let (acting, gone) = (acting.clone(), gone.clone());
            async move {
                acting.notify_one();
                gone.notified().await;
                ctx.token()?;
                Ok(())
            }
        });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let mut events = server.events();
    let start = ActorStart::new("r", "reader");
    server.client().start(server.peer(), start).await.unwrap();
    started(&mut events, "r").await;
    acts.notified().await;
    world.simulation.jump(&environment, secs(60));
    go.notify_one();
    assert_eq!(next(&mut events).await, fenced(FenceReason::Deadline));
    let (_, end) = ended(&mut events, "r").await;
    assert_eq!(end.as_str(), "failed");
    assert_eq!(server.statistics().sessions_fenced, 1);
}

#[tokio::test(start_paused = true)]
async fn a_fence_during_a_shutdown_is_reported_with_its_reason() {
    let world = MemoryWorld::new();
    let waits: Arc<Notify> = Arc::default();
    let server = world.server().actor_type(mortal(&waits));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let mut events = server.events();
    let start = ActorStart::new("deaf", "mortal");
    server.client().start(server.peer(), start).await.unwrap();
    started(&mut events, "deaf").await;
    waits.notified().await;
    let checks = async {
        assert_eq!(next(&mut events).await, changed(ServerState::Draining));
        assert!(world.delete(&format!("test.peer.{}", server.peer())));
        assert_eq!(next(&mut events).await, fenced(FenceReason::KeyLost));
        assert_eq!(ended(&mut events, "deaf").await.1, ActorEnd::Aborted);
        assert_eq!(next(&mut events).await, changed(ServerState::Stopped));
    };
    let (result, ()) = tokio::join!(server.shutdown(), checks);
    result.unwrap();
    assert_eq!(server.fence_reason(), Some(FenceReason::KeyLost));
    assert_eq!(server.statistics().sessions_fenced, 1);
}

#[tokio::test(start_paused = true)]
async fn a_drop_keeps_the_reason_of_an_earlier_fence() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let handle = server.handle();
    let mut events = handle.events();
    // Rejoining takes this long, and the peer has no session meanwhile.
    let delay = MemoryFault::Delay(secs(1));
    world.registry.inject(MemoryOperation::Grant, delay);
    assert!(world.delete(&format!("test.peer.{}", server.peer())));
    assert_eq!(next(&mut events).await, fenced(FenceReason::KeyLost));
    assert_eq!(next(&mut events).await, changed(ServerState::Rejoining));
    pass(Duration::from_millis(100)).await;
    let shutdown = handle.shutdown();
    let dropped = async {
        assert_eq!(next(&mut events).await, changed(ServerState::Draining));
        drop(server);
        assert_eq!(next(&mut events).await, changed(ServerState::Stopped));
    };
    let (result, ()) = tokio::join!(shutdown, dropped);
    assert!(result.unwrap_err().not_revoked);
    assert_eq!(handle.fence_reason(), Some(FenceReason::KeyLost));
}

/// With several worker threads, a leader could start before the peer reports that it serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_reported_before_the_peer_serves() {
    for _ in 0..50 {
        let builder = World::on_real_memory().server();
        let builder = builder.actor_fn("leader", async |_start, _ctx| Ok(()));
        let mut events = builder.events();
        let server = builder.bind("127.0.0.1:0").await.unwrap();
        assert_eq!(next(&mut events).await, changed(ServerState::Serving));
        started(&mut events, "leader").await;
        drop(server);
    }
}
