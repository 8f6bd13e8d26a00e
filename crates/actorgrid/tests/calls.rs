//! Each call ends in time and with the right error, from the peer itself and from another process.

// clippy exempts test functions, not their helpers; these read the world's time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod world;

use std::error::Error as _;
use std::time::Duration;

use actorgrid::{
    Ack, ActorStart, ActorStop, ActorType, Client, DecodeError, EchoMsg, Kind, MAX_HEADER_BYTES,
    MemoryFault, MemoryOperation, Name, NameError, Payload, RegistryError, RegistryErrorKind,
    RequestError, RequestErrorKind,
};
use world::{MemoryWorld, World, echo_type, on_both_registries, secs};

on_both_registries! {
    a_stop_of_an_actor_that_does_not_run_is_answered_at_once,
    a_start_and_a_stop_name_the_peer_or_the_actor_that_is_missing,
    a_closed_client_sends_nothing_also_not_within_its_process,
    the_same_headers_pass_within_a_process_and_between_two,
}

/// How long after its deadline a call may still end.
const SLACK: Duration = Duration::from_millis(250);

#[tokio::test(start_paused = true)]
async fn a_stop_ends_by_its_deadline_also_when_the_registry_is_slow() {
    let world = MemoryWorld::new();
    let stubborn = ActorType::from_fn("stubborn", async |_start, _ctx| {
        std::future::pending::<()>().await;
        Ok(())
    });
    let server = world
        .server()
        .actor_type(stubborn)
        .shutdown_timeout(secs(60))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    for client in [server.client(), &world.client()] {
        client
            .start(server.peer(), ActorStart::new("s", "stubborn"))
            .await
            .ok();
        let slow = MemoryFault::Delay(Duration::from_millis(1_900));
        world.registry.inject(MemoryOperation::Get, slow);
        let begun = tokio::time::Instant::now();
        let error = client.stop("s").await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::DeadlineExceeded);
        assert!(begun.elapsed() <= secs(10) + SLACK, "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_to_the_registry_ends_by_the_deadline_of_the_client() {
    let world = MemoryWorld::new();
    let deadline = Duration::from_millis(500);
    let client = Client::builder("test", world.registry.registry())
        .environment(world.simulation.environment())
        .deadline(deadline)
        .build();
    for operation in [MemoryOperation::Get, MemoryOperation::List] {
        let slow = MemoryFault::Delay(Duration::from_millis(1_900));
        world.registry.inject(operation, slow);
        let begun = tokio::time::Instant::now();
        let name = Name::new("s").unwrap();
        let failed = match operation {
            MemoryOperation::Get => client.find(Kind::Actor, &name).await.map(drop),
            _ => client.query(Kind::Peer).await.map(drop),
        };
        assert_eq!(failed.unwrap_err().kind(), RequestErrorKind::Registry);
        assert!(begun.elapsed() <= deadline + SLACK, "{:?}", begun.elapsed());
    }
}

async fn a_stop_of_an_actor_that_does_not_run_is_answered_at_once(world: World) {
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    for client in [server.client(), &world.client()] {
        let stop = || client.request(server.peer(), ActorStop::new("nobody").unwrap());
        // The peer is registered, and that is the name that the request waits for.
        for request in [stop(), stop().wait_for_name().idempotent()] {
            let begun = tokio::time::Instant::now();
            let error = request.await.unwrap_err();
            assert_eq!(error.kind(), RequestErrorKind::UnknownName, "{error:?}");
            assert!(!error.may_have_executed());
            assert!(
                begun.elapsed() < world.bound(secs(1)),
                "{:?}",
                begun.elapsed()
            );
        }
    }
}

async fn a_start_and_a_stop_name_the_peer_or_the_actor_that_is_missing(world: World) {
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    for client in [server.client(), &world.client()] {
        let start = || client.start("no-peer", ActorStart::new("a", "echo"));
        let waiting = start().wait_for_name().deadline(Duration::from_millis(100));
        let kind = waiting.await.unwrap_err().kind();
        assert_eq!(kind, RequestErrorKind::DeadlineExceeded);
        let request = client.request("no-peer", EchoMsg::new("hi"));
        // Both share one lookup of the name.
        let (started, requested) = tokio::join!(start().send(), request.send());
        let stopped = client.stop("no-actor").await;
        for (error, text) in [
            (started.unwrap_err(), "no peer is registered as \"no-peer\""),
            (
                requested.unwrap_err(),
                "no mailbox is registered as \"no-peer\"",
            ),
            (stopped.unwrap_err(), "no actor runs as \"no-actor\""),
        ] {
            assert_eq!(error.kind(), RequestErrorKind::UnknownName);
            assert_eq!(error.text(), text);
            assert!(!error.may_have_executed());
        }
    }
}

/// The registry still lists the actor, but its peer does not run it, or is gone itself.
#[tokio::test(start_paused = true)]
async fn a_stop_that_its_peer_refuses_names_the_actor() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let here = server.address().to_string();
    for address in [here.as_str(), "127.0.0.1:9"] {
        let value = format!(
            r#"{{"key":"test.actor.ghost","address":"{address}","registry":"{}"}}"#,
            address.replace(['.', ':'], "-")
        );
        world.registry.overwrite("test.actor.ghost", value);
        for client in [server.client(), &world.client()] {
            let error = client.stop("ghost").await.unwrap_err();
            assert_eq!(error.kind(), RequestErrorKind::UnknownName);
            assert_eq!(error.text(), "no actor runs as \"ghost\"", "{address}");
            assert!(!error.may_have_executed());
        }
    }
}

/// Has the wire name of the message that is echoed, but another field type.
#[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]
#[grid(name = "github.com/lytics/grid/v3/EchoMsg")]
struct Misread {
    #[prost(uint64, tag = "1")]
    msg: u64,
}

fn source<E: std::error::Error + 'static>(error: &RequestError) -> &E {
    let source = error.source().and_then(|source| source.downcast_ref());
    source.unwrap_or_else(|| panic!("another source: {error:?}"))
}

#[tokio::test(start_paused = true)]
async fn an_error_keeps_the_error_that_it_comes_from() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    let start = ActorStart::new("e", "echo");
    client.start(server.peer(), start).await.unwrap();

    let away = |operation| world.registry.inject(operation, MemoryFault::Refuse);
    away(MemoryOperation::Get);
    let request = client.request("elsewhere", Ack {}).once();
    let requested = request.await.unwrap_err();
    away(MemoryOperation::List);
    let queried = client.query(Kind::Actor).await.unwrap_err();
    away(MemoryOperation::List);
    let watched = client.watch(Kind::Actor).await.unwrap_err();
    away(MemoryOperation::Get);
    let checked = client.check_health(server.peer()).await.unwrap_err();
    for error in [requested, queried, watched, checked] {
        assert_eq!(error.kind(), RequestErrorKind::Registry);
        let kind = source::<RegistryError>(&error).kind();
        assert_eq!(kind, RegistryErrorKind::Unavailable);
    }

    let error = client.request("", Ack {}).await.unwrap_err();
    assert_eq!(source::<NameError>(&error), &NameError::Empty);
    let nameless = Client::new("", world.registry());
    let error = nameless.query(Kind::Peer).await.unwrap_err();
    assert_eq!(source::<NameError>(&error), &NameError::Empty);

    let broken = Payload::new("github.com/lytics/grid/v3/EchoMsg", &b"\xff"[..]);
    let error = client.request("e", broken).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::InvalidMessage);
    source::<DecodeError>(&error);

    let request = client.request("e", EchoMsg::new("hi"));
    let error = request.expecting::<Misread>().await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::UnexpectedReply);
    source::<DecodeError>(&error);

    let value = r#"{"key":"test.mailbox.n","address":"127.0.0.1:9","registry":"127-0-0-1-9"}"#;
    world.registry.overwrite("test.mailbox.n", value);
    let error = client.request("n", Ack {}).once().await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::Unreachable);
    let kind = source::<std::io::Error>(&error).kind();
    assert_eq!(kind, std::io::ErrorKind::ConnectionRefused);

    let late = client
        .request("e", EchoMsg::new("hi"))
        .deadline(Duration::ZERO);
    assert!(late.await.unwrap_err().source().is_none());
}

async fn a_closed_client_sends_nothing_also_not_within_its_process(world: World) {
    let server = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let remote = world.client();
    remote
        .start(server.peer(), ActorStart::new("e", "echo"))
        .await
        .unwrap();
    for client in [server.client(), &remote] {
        client.request("e", EchoMsg::new("hi")).await.unwrap();
        client.close().await;
        for name in ["e", "nobody"] {
            let error = client.request(name, EchoMsg::new("hi")).await.unwrap_err();
            assert_eq!(error.kind(), RequestErrorKind::ClientClosed, "{name}");
            assert!(!error.may_have_executed());
        }
    }
}

async fn the_same_headers_pass_within_a_process_and_between_two(world: World) {
    let server = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let remote = world.client();
    remote
        .start(server.peer(), ActorStart::new("e", "echo"))
        .await
        .unwrap();
    for (headers, bytes, passes) in [
        (1, MAX_HEADER_BYTES, true),
        (1, MAX_HEADER_BYTES + 1, false),
        (100, MAX_HEADER_BYTES, true),
        (3_000, 3_000, false),
    ] {
        for client in [server.client(), &remote] {
            let mut request = client.request("e", EchoMsg::new("hi"));
            for at in 0..headers {
                // The last header fills the space that the others leave.
                let rest = if at + 1 == headers {
                    bytes - headers
                } else {
                    0
                };
                request = request.header("h", &"v".repeat(rest));
            }
            match request.await {
                Ok(_) => assert!(passes, "{headers} {bytes}"),
                Err(error) => {
                    assert!(!passes, "{headers} {bytes}");
                    assert_eq!(error.kind(), RequestErrorKind::InvalidHeaders);
                }
            }
        }
    }
}
