//! More than a peer can take: every call ends, typed, in time; nothing runs twice.

#![allow(clippy::unwrap_used)] // what stands beside the test functions, too

mod world;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actorgrid::{ActorStart, ActorType, Client, EchoMsg, Request, RequestErrorKind};
use futures_util::future::join_all;
use world::{MemoryWorld, World, eventually, on_both_registries, secs};

on_both_registries! {
    ten_thousand_requests_at_once_to_a_mailbox_of_ten,
    a_request_whose_caller_has_gone_is_skipped,
    a_mailbox_that_closes_answers_what_is_queued,
    a_peer_takes_so_many_actors_and_no_more,
}

type Seen = Arc<Mutex<HashMap<String, usize>>>;

/// An actor with a mailbox of ten that takes its time and counts what it has seen.
fn slow(seen: &Seen, pace: Duration) -> ActorType {
    let seen = seen.clone();
    ActorType::from_fn("slow", move |_start, ctx| {
        let seen = seen.clone();
        async move {
            let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(10).await?;
            while let Some(request) = mailbox.recv().await {
                assert!(mailbox.len() <= 10);
                *seen
                    .lock()
                    .unwrap()
                    .entry(request.message().msg.clone())
                    .or_default() += 1;
                tokio::time::sleep(pace).await;
                let text = request.message().msg.clone();
                // Whoever has gone has gone.
                let _ = request.respond(EchoMsg::new(text));
            }
            Ok(())
        }
    })
    .mailbox::<Request<EchoMsg>>(10)
}

async fn flood(world: &World, client: &Client, seen: &Seen, calls: usize) -> (usize, usize) {
    let deadline = secs(1);
    let call = |i: usize| async move {
        let begun = world::clock();
        let outcome = client
            .request("s", EchoMsg::new(i.to_string()))
            .deadline(deadline)
            .await;
        assert!(
            begun.elapsed() <= world.bound(deadline + Duration::from_millis(250)),
            "{:?}",
            begun.elapsed()
        );
        (i, outcome)
    };
    let outcomes = join_all((0..calls).map(call)).await;
    let seen = seen.lock().unwrap();
    let (mut answered, mut busy) = (0, 0);
    for (i, outcome) in outcomes {
        let times = seen.get(&i.to_string()).copied().unwrap_or_default();
        match outcome {
            Ok(answer) => {
                assert_eq!(answer.msg, i.to_string());
                assert_eq!(times, 1);
                answered += 1;
            }
            Err(error) => {
                assert!(
                    times <= usize::from(error.may_have_executed()),
                    "{times} {error:?}"
                );
                match error.kind() {
                    RequestErrorKind::Busy => busy += 1,
                    RequestErrorKind::DeadlineExceeded => {}
                    kind => panic!("{kind:?}"),
                }
            }
        }
    }
    (answered, busy)
}

async fn ten_thousand_requests_at_once_to_a_mailbox_of_ten(world: World) {
    for (remote, world) in [(false, world.another().await), (true, world)] {
        let seen = Seen::default();
        let server = world
            .server()
            .actor_type(slow(&seen, Duration::from_millis(1)));
        let server = server.bind("127.0.0.1:0").await.unwrap();
        let client = if remote {
            world.client()
        } else {
            server.client().clone()
        };
        client
            .start(server.peer(), ActorStart::new("s", "slow"))
            .await
            .unwrap();
        let (answered, busy) = flood(&world, &client, &seen, 10_000).await;
        // The actor is never idle: 1 s of 1 ms each, less what a round of back-off leaves unused.
        // How far real machines come, and with how many refusals, is not tested here.
        let least = if world.is_simulated() {
            (500, 1_000)
        } else {
            (1, 0)
        };
        assert!(
            answered >= least.0 && busy >= least.1,
            "{remote}: {answered} answered, {busy} busy"
        );
        // And the peer is as good as new.
        let calm = client.request("s", EchoMsg::new("calm")).await.unwrap();
        assert_eq!(calm.msg, "calm");
    }
}

async fn a_request_whose_caller_has_gone_is_skipped(world: World) {
    for (remote, world) in [(false, world.another().await), (true, world)] {
        let seen = Seen::default();
        let server = world.server().actor_type(slow(&seen, secs(1)));
        let server = server.bind("127.0.0.1:0").await.unwrap();
        let client = if remote {
            world.client()
        } else {
            server.client().clone()
        };
        client
            .start(server.peer(), ActorStart::new("s", "slow"))
            .await
            .unwrap();
        let first = client.request("s", EchoMsg::new("first")).send();
        // Between peers there is no order: only once the first is under way do the others queue.
        let others = async {
            eventually("the first runs", || !seen.lock().unwrap().is_empty()).await;
            let dropped = tokio::time::timeout(
                Duration::from_millis(500),
                client.request("s", EchoMsg::new("dropped")).send(),
            );
            let late = client
                .request("s", EchoMsg::new("late"))
                .deadline(Duration::from_millis(300))
                .send();
            tokio::join!(dropped, late)
        };
        let (first, (dropped, late)) = tokio::join!(first, others);
        assert!(first.is_ok() && dropped.is_err());
        assert_eq!(late.unwrap_err().kind(), RequestErrorKind::DeadlineExceeded);
        world.idle(secs(5)).await;
        let seen = seen.lock().unwrap();
        assert_eq!(
            seen.keys().collect::<Vec<_>>(),
            ["first"],
            "remote: {remote}"
        );
    }
}

async fn a_mailbox_that_closes_answers_what_is_queued(world: World) {
    for (remote, world) in [(false, world.another().await), (true, world)] {
        let server = world.server().bind("127.0.0.1:0").await.unwrap();
        let client = if remote {
            world.client()
        } else {
            server.client().clone()
        };
        let mailbox = server.mailbox::<Request<EchoMsg>>("m", 5).await.unwrap();
        let calls = (0..5).map(|i| client.request("m", EchoMsg::new(i.to_string())).send());
        let (outcomes, begun) = tokio::join!(join_all(calls), async {
            eventually("all wait", || mailbox.len() == 5).await;
            let begun = world::clock();
            mailbox.close().await;
            begun
        });
        assert!(begun.elapsed() < world.bound(secs(1)));
        for outcome in outcomes {
            let error = outcome.unwrap_err();
            // By value the message is gone with the queue; over the wire it was looked up again.
            let closed = [
                RequestErrorKind::MailboxClosed,
                RequestErrorKind::UnknownName,
            ];
            assert!(closed.contains(&error.kind()), "{error:?}");
            assert!(!error.may_have_executed());
        }
    }
}

async fn a_peer_takes_so_many_actors_and_no_more(world: World) {
    let seen = Seen::default();
    let server = world
        .server()
        .max_actors(3)
        .actor_type(slow(&seen, secs(1)));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let start = |name: String| {
        client
            .start(server.peer(), ActorStart::new(name, "slow"))
            .deadline(secs(3))
            .send()
    };
    for i in 0..3 {
        start(format!("s-{i}")).await.unwrap();
    }
    assert_eq!(
        start("s-3".to_owned()).await.unwrap_err().kind(),
        RequestErrorKind::Busy
    );
    client.stop("s-0").await.unwrap();
    world.until_free("s-0").await;
    start("s-3".to_owned()).await.unwrap();
}

/// One thread, and an actor whose handler never waits: others get their turns all the same. On the
/// memory registry alone, since it has to be one thread.
#[tokio::test(start_paused = true)]
async fn an_actor_with_a_full_queue_does_not_starve_its_thread() {
    const REQUESTS: usize = 5_000;
    let world = MemoryWorld::new();
    let turns = Arc::new(AtomicUsize::new(0));
    let (taken, mut told) = tokio::sync::mpsc::unbounded_channel();
    let counted = turns.clone();
    let server = world
        .server()
        .actor_fn("other", move |_start, _ctx| {
            let counted = counted.clone();
            async move {
                loop {
                    counted.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            }
        })
        .actor_fn("worker", move |_start, ctx| {
            let (turns, taken) = (turns.clone(), taken.clone());
            async move {
                let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(REQUESTS).await?;
                while mailbox.len() < REQUESTS {
                    tokio::task::yield_now().await;
                }
                let before = turns.load(Ordering::SeqCst);
                for _ in 0..REQUESTS {
                    mailbox
                        .recv()
                        .await
                        .ok_or("no request")?
                        .respond(EchoMsg::new("y"))?;
                }
                taken.send(turns.load(Ordering::SeqCst) - before)?;
                Ok(())
            }
        });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    for name in ["other", "worker"] {
        client
            .start(server.peer(), ActorStart::new(name, name))
            .await
            .unwrap();
    }
    let calls = (0..REQUESTS).map(|_| {
        client
            .request("worker", EchoMsg::new("x"))
            .wait_for_name()
            .send()
    });
    for answer in join_all(calls).await {
        answer.unwrap();
    }
    let turns = told.recv().await.unwrap();
    // A task's budget is 128 steps; a turn for others comes after each.
    assert!(turns >= REQUESTS / 200, "{turns}");
}
