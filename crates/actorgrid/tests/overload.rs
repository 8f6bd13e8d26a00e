//! More load than a peer can take: every call ends in time, with a typed error; nothing runs twice.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actorgrid::{
    Ack, ActorStart, ActorType, Client, DecodeError, EchoMsg, Message, Payload, Request,
    RequestErrorKind,
};
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use world::{MemoryWorld, World, eventually, on_both_registries, secs};

on_both_registries! {
    ten_thousand_requests_at_once_to_a_mailbox_of_ten,
    a_request_whose_caller_has_gone_is_skipped,
    a_queued_request_that_is_abandoned_leaves_its_place_at_once,
    a_request_that_was_handed_out_may_have_executed_at_its_deadline,
    a_message_that_cannot_be_read_is_answered_when_its_turn_comes,
    a_mailbox_that_closes_answers_what_is_queued,
    a_peer_runs_at_most_max_actors,
}

type Seen = Arc<Mutex<HashMap<String, usize>>>;

/// Creates an actor with a mailbox of ten that takes its time and counts the requests that it sees.
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
                // The caller may have gone.
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
        // The actor is never idle: it answers for 1 s, at 1 ms each, less what a round of back-off
        // leaves unused. How many requests real machines answer, and how many they reject, is not
        // tested here.
        let least = if world.is_simulated() {
            (500, 1_000)
        } else {
            (1, 0)
        };
        assert!(
            answered >= least.0 && busy >= least.1,
            "{remote}: {answered} answered, {busy} busy"
        );
        // Afterwards the peer works as before.
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
        // Between peers there is no order, so the others are queued only once the first is running.
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
        let late = late.unwrap_err();
        assert_eq!(late.kind(), RequestErrorKind::DeadlineExceeded);
        // Within a process the outcome is certain; otherwise the caller's own timer may fire first.
        assert!(remote || !late.may_have_executed(), "{late:?}");
        world.idle(secs(5)).await;
        let seen = seen.lock().unwrap();
        assert_eq!(
            seen.keys().collect::<Vec<_>>(),
            ["first"],
            "remote: {remote}"
        );
    }
}

async fn a_queued_request_that_is_abandoned_leaves_its_place_at_once(world: World) {
    for (remote, world) in [(false, world.another().await), (true, world)] {
        let server = world.server().bind("127.0.0.1:0").await.unwrap();
        let client = if remote {
            world.client()
        } else {
            server.client().clone()
        };
        // Nobody receives from this mailbox until the third request is sent.
        let mut mailbox = server.mailbox::<Request<EchoMsg>>("m", 2).await.unwrap();
        let ask = |text: &str| client.request("m", EchoMsg::new(text));
        {
            let callers = join_all([ask("first").send(), ask("second").send()]);
            tokio::pin!(callers);
            tokio::select! {
                biased;
                _ = &mut callers => panic!("nobody answers"),
                () = eventually("both are queued", || mailbox.len() == 2) => {}
            }
        }
        eventually("their places are free", || mailbox.is_empty()).await;
        let third = ask("third").send();
        let (third, ()) = tokio::join!(third, async {
            let request = mailbox.recv().await.unwrap();
            assert_eq!(request.message().msg, "third");
            request.respond(EchoMsg::new("yes")).unwrap();
        });
        assert_eq!(third.unwrap().msg, "yes");

        // A request whose deadline passes frees its place, too.
        let late = ask("late").deadline(Duration::from_millis(100));
        let error = late.await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::DeadlineExceeded);
        assert!(remote || !error.may_have_executed(), "{error:?}");
        eventually("the place is free", || mailbox.is_empty()).await;
        let counted = server.statistics();
        assert_eq!((counted.requests_admitted, counted.refused_busy), (4, 0));
        let (gone, late) = (counted.requests_abandoned, counted.requests_expired);
        // A remote caller may withdraw its request just before the peer sees the deadline pass.
        assert!(gone >= 2 && gone + late == 3, "{counted:?}");
        assert!(remote || late == 1, "{counted:?}");
    }
}

async fn a_request_that_was_handed_out_may_have_executed_at_its_deadline(world: World) {
    for (remote, world) in [(false, world.another().await), (true, world)] {
        let server = world.server().bind("127.0.0.1:0").await.unwrap();
        let client = if remote {
            world.client()
        } else {
            server.client().clone()
        };
        let mut mailbox = server.mailbox::<Request<EchoMsg>>("m", 2).await.unwrap();
        let late = client.request("m", EchoMsg::new("late"));
        let late = late.deadline(Duration::from_millis(300)).send();
        let (late, request) = tokio::join!(late, mailbox.recv());
        let error = late.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::DeadlineExceeded);
        assert!(error.may_have_executed(), "{error:?}");
        drop(request);
    }
}

/// A message that shows whether it is still alive, and whose decoding and drop can misbehave.
#[derive(Debug)]
struct Observed {
    #[allow(dead_code)]
    witness: Arc<()>,
    panics: bool,
}

impl Drop for Observed {
    fn drop(&mut self) {
        if std::mem::take(&mut self.panics) {
            panic!("on purpose");
        }
    }
}

impl Message for Observed {
    type Reply = Ack;
    const WIRE_NAME: &'static str = "test/Observed";

    fn encoded_len(&self) -> usize {
        0
    }

    fn encode(&self, _buffer: &mut BytesMut) {}

    fn decode(_wire_name: &str, bytes: Bytes) -> Result<Self, DecodeError> {
        match &bytes[..] {
            b"" => Ok(Self {
                witness: Arc::default(),
                panics: false,
            }),
            b"panic" => panic!("on purpose"),
            _ => Err(DecodeError::new("not empty")),
        }
    }
}

/// Within a process, where the message itself is queued.
#[tokio::test(start_paused = true)]
async fn the_message_of_an_abandoned_request_is_dropped_at_once() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let mailbox = server.mailbox::<Request<Observed>>("m", 2).await.unwrap();
    for panics in [false, true] {
        let witness = Arc::new(());
        let observed = |witness: &Arc<()>| Observed {
            witness: witness.clone(),
            panics,
        };
        let ask = server.client().request("m", observed(&witness));
        let error = ask.deadline(secs(1)).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::DeadlineExceeded);
        assert_eq!((Arc::strong_count(&witness), mailbox.len()), (1, 0));

        let ask = server.client().request("m", observed(&witness)).send();
        assert!(tokio::time::timeout(secs(1), ask).await.is_err());
        assert_eq!((Arc::strong_count(&witness), mailbox.len()), (1, 0));
    }
    let counted = server.statistics();
    assert_eq!(counted.requests_admitted, 4);
    assert_eq!(
        (counted.requests_expired, counted.requests_abandoned),
        (2, 2)
    );
}

async fn a_message_that_cannot_be_read_is_answered_when_its_turn_comes(world: World) {
    for (remote, world) in [(false, world.another().await), (true, world)] {
        let server = world.server().bind("127.0.0.1:0").await.unwrap();
        let client = if remote {
            world.client()
        } else {
            server.client().clone()
        };
        let mut mailbox = server.mailbox::<Request<Observed>>("m", 3).await.unwrap();
        let ask = |bytes: &'static [u8]| {
            let message = Payload::new(Observed::WIRE_NAME, bytes);
            client.request("m", message).deadline(secs(10)).send()
        };
        let (broken, panicking, good, ()) =
            tokio::join!(ask(b"broken"), ask(b"panic"), ask(b""), async {
                eventually("all are queued", || mailbox.len() == 3).await;
                // The two that cannot be read are skipped.
                let request = mailbox.recv().await.unwrap();
                request.respond(Ack {}).unwrap();
                assert!(tokio::time::timeout(secs(1), mailbox.recv()).await.is_err());
            });
        for error in [broken.unwrap_err(), panicking.unwrap_err()] {
            assert_eq!(error.kind(), RequestErrorKind::InvalidMessage, "{error:?}");
            assert!(!error.may_have_executed());
        }
        assert_eq!(good.unwrap().wire_name(), Ack::WIRE_NAME);
        let counted = server.statistics();
        assert_eq!((counted.requests_admitted, counted.refused_invalid), (3, 2));
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
            // By value, the message is gone with the queue; over the wire, it was looked up again.
            let closed = [
                RequestErrorKind::MailboxClosed,
                RequestErrorKind::UnknownName,
            ];
            assert!(closed.contains(&error.kind()), "{error:?}");
            assert!(!error.may_have_executed());
        }
    }
}

async fn a_peer_runs_at_most_max_actors(world: World) {
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
    let busy = server.statistics().refused_busy;
    let kind = start("s-3".to_owned()).await.unwrap_err().kind();
    // Which of the two is reported depends on when the last repeat returns.
    let kinds = [RequestErrorKind::Busy, RequestErrorKind::DeadlineExceeded];
    assert!(kinds.contains(&kind), "{kind:?}");
    assert!(server.statistics().refused_busy > busy);
    client.stop("s-0").await.unwrap();
    world.until_free("s-0").await;
    start("s-3".to_owned()).await.unwrap();
}

/// One thread, and an actor whose handler never waits: other tasks still get their turns. Runs on
/// the memory registry alone, since it needs exactly one thread.
#[tokio::test(start_paused = true)]
async fn an_actor_with_a_full_queue_does_not_starve_its_thread() {
    const REQUESTS: usize = 5_000;
    let world = MemoryWorld::new();
    let turns = Arc::new(AtomicUsize::new(0));
    let (turns_sender, mut reported_turns) = tokio::sync::mpsc::unbounded_channel();
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
            let (turns, turns_sender) = (turns.clone(), turns_sender.clone());
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
                turns_sender.send(turns.load(Ordering::SeqCst) - before)?;
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
    let turns = reported_turns.recv().await.unwrap();
    // A task's budget is 128 steps; other tasks run after each.
    assert!(turns >= REQUESTS / 200, "{turns}");
}
