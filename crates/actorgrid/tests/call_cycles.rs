//! Actors of two peers that call each other while everything that a link takes is in use.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::time::Duration;

use actorgrid::{ActorContext, ActorResult, ActorStart, ActorType, Client, EchoMsg, Request};
use futures_util::future::join_all;
use world::{World, clock, on_both_registries};

on_both_registries! {
    actors_that_call_each_other_finish_while_callers_use_all_room,
    an_actor_that_is_called_back_in_its_own_call_finishes_while_callers_use_all_room,
}

/// A link takes four requests for each.
const STREAMS: u32 = 4;
/// More than two links take.
const CALLERS: usize = 100;
/// Beyond this, a request has waited for room that nobody frees.
const BOUND: Duration = Duration::from_secs(20);

/// An actor that answers a request like `a b c` when `a` has answered `b c`, and one without a name
/// at once. It works on all its requests at a time.
fn relay_type() -> ActorType {
    ActorType::from_fn("relay", async |_start, ctx| relay(ctx).await)
        .mailbox::<Request<EchoMsg>>(1_000)
}

async fn relay(ctx: ActorContext) -> ActorResult {
    let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(1_000).await?;
    while let Some(request) = mailbox.recv().await {
        let client = ctx.client().clone();
        ctx.spawn(async move {
            let path = request.message().msg.clone();
            if let Some((next, rest)) = path.split_once(' ') {
                let call = client.request(next, EchoMsg::new(rest)).deadline(3 * BOUND);
                call.await.unwrap();
            }
            let _ = request.respond(EchoMsg::default());
        });
    }
    Ok(())
}

/// Sends requests with these paths to these actors, many at a time, from each of two peers: the
/// first to `b`, from the peer of `a`, the second the other way around.
async fn call_all(world: World, paths: [Option<&str>; 2]) {
    let mut servers = Vec::new();
    for name in ["a", "b"] {
        let server = world
            .server()
            .max_streams_per_connection(STREAMS)
            .actor_type(relay_type())
            .bind("127.0.0.1:0")
            .await
            .unwrap();
        let start = ActorStart::new(name, "relay");
        server.client().start(server.peer(), start).await.unwrap();
        servers.push(server);
    }
    let clients: Vec<_> = servers.iter().map(|server| server.client()).collect();
    let calls = clients.iter().zip(["b", "a"]).zip(paths);
    let calls = calls.filter_map(|((client, to), path)| Some(call_many(client, to, path?)));
    let begun = clock();
    join_all(calls).await;
    let took = clock() - begun;
    assert!(took < BOUND, "{took:?}");
    for server in &servers {
        let statistics = server.statistics();
        assert!(statistics.connections_open <= 2, "{statistics:?}");
        server.shutdown().await.unwrap();
    }
}

async fn call_many(client: &Client, to: &str, path: &str) {
    let calls = (0..CALLERS).map(|_| {
        let message = EchoMsg::new(path);
        let call = client.request(to, message).deadline(3 * BOUND);
        async { call.await.unwrap() }
    });
    join_all(calls).await;
}

async fn actors_that_call_each_other_finish_while_callers_use_all_room(world: World) {
    // `b` calls `a`, and `a` calls `b`.
    call_all(world, [Some("a "), Some("b ")]).await;
}

async fn an_actor_that_is_called_back_in_its_own_call_finishes_while_callers_use_all_room(
    world: World,
) {
    // `b` calls `a`, which calls `b`.
    call_all(world, [Some("a b "), None]).await;
}
