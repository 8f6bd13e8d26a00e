//! Faults of user code: errors, panics, missing answers, code that does not stop.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actorgrid::{
    Ack, Actor, ActorContext, ActorResult, ActorStart, ActorType, BoxError, Code, DecodeError,
    EchoMsg, Failure, Message, Payload, Request, RequestErrorKind, ServerState,
};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use world::{World, echo_type, on_both_registries, pass, secs};

on_both_registries! {
    a_handler_that_answers_an_error_runs_once,
    silence_is_an_answer_at_once,
    a_panic_ends_its_actor_alone,
    tasks_of_an_actor_end_before_its_name_is_free,
    a_slow_constructor_holds_up_nobody_and_its_name_waits,
    a_mistaken_start_says_what_is_wrong,
}

/// Creates an actor that fails its requests as their texts say, and counts them.
fn faulty(runs: &Arc<AtomicUsize>) -> ActorType {
    let runs = runs.clone();
    ActorType::from_fn("faulty", move |_start, ctx| {
        let runs = runs.clone();
        async move {
            let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(10).await?;
            while let Some(request) = mailbox.recv().await {
                runs.fetch_add(1, Ordering::SeqCst);
                match request.message().msg.as_str() {
                    "drop" => drop(request),
                    "panic" => panic!("a handler panics"),
                    "end" => return Ok(()),
                    "large" => {
                        assert!(request.respond(EchoMsg::new("x".repeat(5 << 20))).is_err());
                    }
                    "detail" => {
                        let failure = Failure::new("see detail").detail(&EchoMsg::new("d"));
                        request.fail(failure.code(Code::NotFound))?;
                    }
                    text => {
                        let text = text.to_owned();
                        request.fail(text)?;
                    }
                }
            }
            Ok(())
        }
    })
    .mailbox::<Request<EchoMsg>>(10)
}

/// Calls from the peer itself, by value, and from another process, over the wire.
async fn a_handler_that_answers_an_error_runs_once(world: World) {
    let runs = Arc::new(AtomicUsize::new(0));
    let server = world
        .server()
        .actor_type(faulty(&runs))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let remote = world.client();
    for client in [server.client(), &remote] {
        for text in [
            "insufficient funds",
            "connection refused",
            "grid: receiver busy",
            "grid: unknown mailbox",
            "grid: context finished",
            "",
        ] {
            let _ = remote
                .start(server.peer(), ActorStart::new("f", "faulty"))
                .await;
            runs.store(0, Ordering::SeqCst);
            let error = client
                .request("f", EchoMsg::new(text))
                .idempotent()
                .await
                .unwrap_err();
            assert_eq!(
                error.kind(),
                RequestErrorKind::Application,
                "{text}: {error:?}"
            );
            assert_eq!(error.text(), text);
            assert!(error.may_have_executed() && !error.is_retryable());
            world.idle(secs(15)).await;
            assert_eq!(runs.load(Ordering::SeqCst), 1, "{text}");
        }
        let error = client
            .request("f", EchoMsg::new("detail"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(Code::NotFound));
        assert_eq!(error.detail::<EchoMsg>(), Some(EchoMsg::new("d")));
        assert_eq!(error.detail::<Ack>(), None);
    }
}

async fn silence_is_an_answer_at_once(world: World) {
    let runs = Arc::new(AtomicUsize::new(0));
    let server = world
        .server()
        .actor_type(faulty(&runs))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let remote = world.client();
    for client in [server.client(), &remote] {
        for text in ["drop", "panic", "end"] {
            world.until_free("f").await;
            let _ = remote
                .start(server.peer(), ActorStart::new("f", "faulty"))
                .await;
            let begun = world::clock();
            let error = client.request("f", EchoMsg::new(text)).await.unwrap_err();
            assert_eq!(error.kind(), RequestErrorKind::NoReply, "{text}");
            assert!(error.may_have_executed(), "{text}");
            assert!(
                begun.elapsed() < world.bound(secs(1)),
                "{text}: {:?}",
                begun.elapsed()
            );
            if text == "drop" {
                remote.stop("f").await.unwrap();
            }
        }
        world.until_free("f").await;
        remote
            .start(server.peer(), ActorStart::new("f", "faulty"))
            .await
            .unwrap();
        let error = client
            .request("f", EchoMsg::new("large"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::ReplyTooLarge);
        assert!(error.may_have_executed());
        let wrong = client.request("f", Ack {}).await.unwrap_err();
        assert_eq!(wrong.kind(), RequestErrorKind::UnknownMessage);
        let broken = Payload::new("github.com/lytics/grid/v3/EchoMsg", &b"\xff"[..]);
        let broken = client.request("f", broken).await.unwrap_err();
        assert_eq!(broken.kind(), RequestErrorKind::InvalidMessage);
        let large = client
            .request("f", EchoMsg::new("x".repeat(5 << 20)))
            .await
            .unwrap_err();
        assert_eq!(large.kind(), RequestErrorKind::MessageTooLarge);
        for error in [wrong, broken, large] {
            assert!(
                !error.may_have_executed() && !error.is_retryable(),
                "{error:?}"
            );
        }
        remote.stop("f").await.unwrap();
    }
}

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("a drop panics");
    }
}

impl Actor for PanicsOnDrop {
    async fn act(self, ctx: ActorContext) -> ActorResult {
        ctx.stopping().await;
        Ok(())
    }
}

/// Ignores the order to stop, so that it is aborted, and panics then.
struct PanicsOnAbort;

impl Actor for PanicsOnAbort {
    async fn act(self, _ctx: ActorContext) -> ActorResult {
        let _panics = PanicsOnDrop;
        std::future::pending().await
    }
}

async fn a_panic_ends_its_actor_alone(world: World) {
    let server = world
        .server()
        .shutdown_timeout(secs(1))
        .actor::<PanicsOnDrop, _, _>("constructor", |_start| async {
            panic!("a constructor panics")
        })
        .actor::<PanicsOnDrop, _, _>(
            "constructor-call",
            |_start| -> std::future::Ready<Result<_, BoxError>> {
                panic!("a constructor panics when it is called")
            },
        )
        .actor::<PanicsOnDrop, _, _>("constructor-error", async |_start| {
            Err("it cannot be made".into())
        })
        .actor_fn("act", async |_start, _ctx| panic!("an actor panics"))
        .actor("drop", async |_start| Ok(PanicsOnDrop))
        .actor("abort", async |_start| Ok(PanicsOnAbort))
        .actor_fn("task", async |_start, ctx| {
            ctx.spawn(async { panic!("a task panics") });
            ctx.stopping().await;
            Ok(())
        })
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    let start = |actor_type: &str| {
        client
            .start(server.peer(), ActorStart::new("p", actor_type))
            .send()
    };
    for round in 0..2 {
        for (actor_type, text) in [
            (
                "constructor",
                "the constructor panicked: a constructor panics",
            ),
            (
                "constructor-call",
                "the constructor panicked: a constructor panics when it is called",
            ),
            ("constructor-error", "it cannot be made"),
        ] {
            let error = start(actor_type).await.unwrap_err();
            assert_eq!(
                error.kind(),
                RequestErrorKind::StartFailed,
                "{round} {actor_type}: {error:?}"
            );
            assert_eq!(error.text(), text);
            world.until_free("p").await;
        }
        for actor_type in ["act", "drop", "abort", "task"] {
            start(actor_type).await.unwrap();
            if actor_type != "act" {
                client.stop("p").await.unwrap();
            }
            world.until_free("p").await;
        }
    }
    assert_eq!(server.state(), ServerState::Serving);
    start("echo").await.unwrap();
    assert_eq!(
        client.request("p", EchoMsg::new("x")).await.unwrap().msg,
        "x from p"
    );
    server.shutdown().await.unwrap();
}

async fn tasks_of_an_actor_end_before_its_name_is_free(world: World) {
    let (events, mut seen) = mpsc::unbounded_channel();
    struct Note(mpsc::UnboundedSender<&'static str>);
    impl Drop for Note {
        fn drop(&mut self) {
            let _ = self.0.send("task ended");
        }
    }
    let spawner = ActorType::from_fn("spawner", move |_start, ctx| {
        let events = events.clone();
        async move {
            let note = Note(events.clone());
            ctx.spawn(async move {
                let _note = note;
                std::future::pending::<()>().await;
            });
            ctx.stopping().await;
            let _ = events.send("act ended");
            Ok(())
        }
    });
    let server = world
        .server()
        .actor_type(spawner)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("s", "spawner"))
        .await
        .unwrap();
    client.stop("s").await.unwrap();
    // The stop is answered when the name is free, so both events have been sent by now.
    assert_eq!(seen.try_recv(), Ok("act ended"));
    assert_eq!(seen.try_recv(), Ok("task ended"));
}

async fn a_slow_constructor_holds_up_nobody_and_its_name_waits(world: World) {
    let server = world
        .server()
        .actor::<PanicsOnAbort, _, _>("slow", async |_start| {
            tokio::time::sleep(secs(5)).await;
            Err("too late".into())
        })
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    let slow = client
        .start(server.peer(), ActorStart::new("slow", "slow"))
        .send();
    let quick = async {
        pass(Duration::from_millis(10)).await;
        let begun = world::clock();
        client
            .start(server.peer(), ActorStart::new("quick", "echo"))
            .await
            .unwrap();
        // The name is registered before the constructor has ended.
        let taken = client
            .start(server.peer(), ActorStart::new("slow", "echo"))
            .await
            .unwrap_err();
        assert_eq!(taken.kind(), RequestErrorKind::AlreadyRunning);
        assert!(begun.elapsed() < world.bound(secs(1)));
    };
    let (slow, ()) = tokio::join!(slow, quick);
    assert_eq!(slow.unwrap_err().kind(), RequestErrorKind::StartFailed);
}

async fn a_mistaken_start_says_what_is_wrong(world: World) {
    let server = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    for (name, actor_type, kind, text) in [
        (
            "n",
            "bad.type",
            RequestErrorKind::InvalidName,
            "grid: invalid actor type: type=bad.type",
        ),
        (
            "bad.name",
            "echo",
            RequestErrorKind::InvalidName,
            "grid: invalid name: namespace=test name=bad.name",
        ),
        (
            "",
            "echo",
            RequestErrorKind::InvalidName,
            "grid: invalid name: namespace=test name=",
        ),
        (
            "n",
            "nosuchdef",
            RequestErrorKind::UnknownActorType,
            "grid: def not registered: type=nosuchdef",
        ),
    ] {
        let error = client
            .start(server.peer(), ActorStart::new(name, actor_type))
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.text()), (kind, text));
        assert!(!error.may_have_executed());
    }
    let huge = "x".repeat(1 << 20);
    let error = client
        .start(server.peer(), ActorStart::new(huge.as_str(), "echo"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::InvalidName);
    assert!(error.text().len() < 1024);
    let error = client.request(huge.as_str(), Ack {}).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::InvalidName);
}

/// A message that panics when it is asked for its name.
struct Nameless;

impl Message for Nameless {
    type Reply = EchoMsg;
    const WIRE_NAME: &'static str = "test/Nameless";

    fn wire_name(&self) -> &str {
        panic!("on purpose")
    }

    fn encoded_len(&self) -> usize {
        0
    }

    fn encode(&self, _: &mut BytesMut) {}

    fn decode(_: &str, _: Bytes) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

/// Not on etcd: ten minutes pass.
#[tokio::test(start_paused = true)]
async fn a_panic_in_the_name_of_a_message_reaches_its_caller_and_leaves_no_call_behind() {
    let world = World::on_memory();
    let server = world.server().actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let start = ActorStart::new("a", "echo");
    client.start(server.peer(), start).await.unwrap();
    for _ in 0..3 {
        let answer = client.request("a", EchoMsg::new("hi")).await.unwrap();
        assert_eq!(answer.msg, "hi from a");
        let nameless = AssertUnwindSafe(client.request("a", Nameless).send());
        assert!(nameless.catch_unwind().await.is_err());
    }
    assert_eq!(server.statistics().connections_open, 1);
    // A link is not closed as unused while it has a call.
    pass(secs(600)).await;
    assert_eq!(server.statistics().connections_open, 0);
}
