//! One holder of each name, however many race for it.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::time::Duration;

use actorgrid::{
    ActorStart, EchoMsg, Kind, MailboxErrorKind, MemoryFault, MemoryOperation, Name, Request,
    RequestErrorKind,
};
use futures_util::future::join_all;
use world::{MemoryWorld, Resource, World, echo_type, eventually, on_both_registries, secs};

on_both_registries! {
    of_a_thousand_starts_of_one_name_over_three_peers_one_runs,
    of_two_tasks_that_open_one_mailbox_one_wins_and_the_loser_takes_nothing_away,
    a_name_is_free_again_when_its_actor_has_ended,
    a_request_for_an_earlier_holder_is_refused_and_finds_the_next,
    a_request_waits_for_a_name_if_asked_to,
}

async fn of_a_thousand_starts_of_one_name_over_three_peers_one_runs(world: World) {
    let resource = Resource::default();
    let mut servers = Vec::new();
    for _ in 0..3 {
        let server = world.server().actor_type(resource.holder_type("holder"));
        servers.push(server.bind("127.0.0.1:0").await.unwrap());
    }
    let client = world.client();
    let starts = (0..1000).map(|i| {
        let peer = servers[i % 3].peer();
        let start = client.start(peer, ActorStart::new("one", "holder"));
        // A machine under load takes longer than the default deadline.
        start.deadline(secs(60)).send()
    });
    let outcomes = join_all(starts).await;

    let one = client
        .find(Kind::Actor, &Name::new("one").unwrap())
        .await
        .unwrap()
        .unwrap();
    let mut won = 0;
    for outcome in outcomes {
        match outcome {
            Ok(_) => won += 1,
            Err(error) => {
                assert_eq!(error.kind(), RequestErrorKind::AlreadyRunning, "{error:?}");
                assert_eq!(error.holder(), Some(&one.peer));
                assert_eq!(error.token(), Some(one.token));
                assert!(!error.may_have_executed());
            }
        }
    }
    assert_eq!(won, 1);
    eventually("the holder runs", || resource.holders("one") == 1).await;
    assert_eq!(resource.tokens("one"), [one.token]);
}

async fn of_two_tasks_that_open_one_mailbox_one_wins_and_the_loser_takes_nothing_away(
    world: World,
) {
    let one = world.server().bind("127.0.0.1:0").await.unwrap();
    let two = world.server().bind("127.0.0.1:0").await.unwrap();
    for round in 0..1000 {
        // Within one peer, and between two.
        let other = if round % 2 == 0 { &one } else { &two };
        let name = format!("box-{round}");
        let (a, b) = tokio::join!(
            one.mailbox::<Request<EchoMsg>>(&name, 1),
            other.mailbox::<Request<EchoMsg>>(&name, 1)
        );
        let (mut mailbox, refused) = match (a, b) {
            (Ok(mailbox), Err(refused)) | (Err(refused), Ok(mailbox)) => (mailbox, refused),
            both => panic!("round {round}: {both:?}"),
        };
        assert_eq!(refused.kind(), MailboxErrorKind::Taken);
        assert_eq!(refused.token(), mailbox.token().ok());
        // The winner's mailbox still works.
        assert_eq!(world.keys_of(&name).await, [format!("test.mailbox.{name}")]);
        let client = world.client();
        let (answer, ()) = tokio::join!(client.request(&name, EchoMsg::new("hi")).send(), async {
            let request = mailbox.recv().await.unwrap();
            request.respond(EchoMsg::new("ho")).unwrap();
        });
        assert_eq!(answer.unwrap().msg, "ho");
        mailbox.close().await;
        assert_eq!(world.keys_of(&name).await, [""; 0]);
    }
}

async fn a_name_is_free_again_when_its_actor_has_ended(world: World) {
    let server = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    let mut last = None;
    for _ in 0..10 {
        client
            .start(server.peer(), ActorStart::new("a", "echo"))
            .await
            .unwrap();
        let token = client
            .find(Kind::Actor, &Name::new("a").unwrap())
            .await
            .unwrap()
            .unwrap()
            .token;
        assert!(last < Some(token), "{last:?} {token}");
        last = Some(token);
        client.stop("a").await.unwrap();
        assert_eq!(world.keys_of("a").await, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_free_only_when_the_registry_has_confirmed_it() {
    let world = MemoryWorld::new();
    let server = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let slow = || {
        let fault = MemoryFault::Delay(Duration::from_millis(500));
        world.registry.inject(MemoryOperation::Release, fault);
    };
    let client = world.client();
    for _ in 0..2 {
        client
            .start(server.peer(), ActorStart::new("a", "echo"))
            .await
            .unwrap();
        slow();
        client.stop("a").await.unwrap();
        assert_eq!(world.keys_of("a").await, [""; 0]);

        let mailbox = server.mailbox::<Request<EchoMsg>>("m", 1).await.unwrap();
        slow();
        mailbox.close().await;
        assert_eq!(world.keys_of("m").await, [""; 0]);
    }
}

async fn a_request_for_an_earlier_holder_is_refused_and_finds_the_next(world: World) {
    let one = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let two = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    for server in [&one, &two, &two, &one] {
        client
            .start(server.peer(), ActorStart::new("a", "echo"))
            .await
            .unwrap();
        // The location cached in the last round is wrong now, and has another token.
        let answer = client.request("a", EchoMsg::new("x")).await.unwrap();
        assert_eq!(answer.msg, "x from a");
        world.client().stop("a").await.unwrap();
    }
}

async fn a_request_waits_for_a_name_if_asked_to(world: World) {
    let server = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    let (answer, ()) = tokio::join!(
        client
            .request("late", EchoMsg::new("x"))
            .wait_for_name()
            .send(),
        async {
            world::pass(world::secs(2)).await;
            client
                .start(server.peer(), ActorStart::new("late", "echo"))
                .await
                .unwrap();
        }
    );
    assert_eq!(answer.unwrap().msg, "x from late");
    let never = client
        .request("never", EchoMsg::new("x"))
        .deadline(world::secs(2))
        .wait_for_name()
        .await
        .unwrap_err();
    assert_eq!(never.kind(), RequestErrorKind::DeadlineExceeded);
    assert!(!never.may_have_executed());
}
