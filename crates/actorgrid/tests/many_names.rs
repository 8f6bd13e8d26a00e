//! Peers with more names than one lease carries.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use actorgrid::{ActorStart, ActorType, Server, ServerState};
use futures_util::stream::{self, StreamExt as _};
use world::{World, eventually, on_both_registries, secs};

on_both_registries! {
    a_peer_with_several_leases_is_fenced_by_the_loss_of_one_key_and_rejoins,
    two_peers_with_several_leases_leave_nothing_behind,
}

/// A little more than one lease carries.
const NAMES: usize = 1_100;

async fn serve(world: &World) -> Server {
    let waits = ActorType::from_fn("waits", async |_start, ctx| {
        ctx.stopping().await;
        Ok(())
    });
    let server = world.server().lease_ttl(secs(5)).actor_type(waits);
    server.bind("127.0.0.1:0").await.unwrap()
}

/// Starts an actor for each of many names with this prefix.
async fn start_crowd(server: &Server, prefix: &str) {
    let starts = (0..NAMES).map(|number| {
        let start = ActorStart::new(format!("{prefix}-{number}"), "waits");
        let start = server.client().start(server.peer(), start);
        start.deadline(secs(60)).send()
    });
    let mut started = stream::iter(starts).buffer_unordered(100);
    while let Some(started) = started.next().await {
        started.unwrap();
    }
}

fn epoch_keys(world: &World) -> Vec<String> {
    let mut keys = world.keys();
    keys.retain(|key| key.starts_with("test.epoch."));
    keys
}

async fn a_peer_with_several_leases_is_fenced_by_the_loss_of_one_key_and_rejoins(world: World) {
    let server = serve(&world).await;
    start_crowd(&server, "crowd").await;
    eventually("a spare lease is granted", || world.leases() == 3).await;
    // Renewed several times.
    world.idle(secs(20)).await;
    assert_eq!(server.statistics().sessions_fenced, 0);
    let epochs = epoch_keys(&world);
    let further = epochs.iter().find(|key| key.matches('.').count() == 3);
    assert!(world.delete(further.unwrap()), "{epochs:?}");
    eventually("the peer is fenced", || {
        server.statistics().sessions_fenced == 1
    })
    .await;
    server.wait_for(ServerState::Serving).await;
    eventually("the old leases are gone", || world.leases() == 1).await;
    assert_eq!(server.statistics().actors_running, 0);
    start_crowd(&server, "crowd").await;
    server.shutdown().await.unwrap();
    assert_eq!((world.keys().len(), world.leases()), (0, 0));
}

async fn two_peers_with_several_leases_leave_nothing_behind(world: World) {
    let (first, second) = (serve(&world).await, serve(&world).await);
    tokio::join!(start_crowd(&first, "a"), start_crowd(&second, "b"));
    eventually("two spare leases are granted", || {
        (world.leases(), epoch_keys(&world).len()) == (6, 6)
    })
    .await;
    first.shutdown().await.unwrap();
    assert_eq!((world.leases(), epoch_keys(&world).len()), (3, 3));
    second.shutdown().await.unwrap();
    assert_eq!((world.keys().len(), world.leases()), (0, 0));
}
