//! How clients find a mailbox: with few reads of the registry, none of which needs more than one
//! member of it.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::pin::pin;
use std::time::Duration;

use actorgrid::{EchoMsg, Mailbox, MemoryFault, MemoryOperation, Request, RequestErrorKind};
use futures_util::future::join_all;
use world::{MemoryWorld, clock, pass, secs};

async fn echo(mut mailbox: Mailbox<Request<EchoMsg>>) {
    while let Some(request) = mailbox.recv().await {
        let message = request.message().clone();
        request.respond(message).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn lookups_that_wait_at_the_same_time_share_reads() {
    let world = MemoryWorld::new();
    let client = world.client();
    let reads = || {
        let calls = [MemoryOperation::Peek, MemoryOperation::Get];
        calls.map(|operation| world.registry.calls(operation))
    };
    for _ in 0..4 {
        // Without this delay, lookups would be answered at once, and none would be shared.
        for operation in [MemoryOperation::Peek, MemoryOperation::Get] {
            world
                .registry
                .inject(operation, MemoryFault::Delay(secs(1)));
        }
    }
    let before = reads();
    let requests = (0..1_000).map(|number| {
        let name = format!("unknown-{number}");
        client.request(name, EchoMsg::new("hi")).send()
    });
    for answer in join_all(requests).await {
        assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::UnknownName);
    }
    for (now, before) in reads().into_iter().zip(before) {
        // Eight reads cover all names. The first ones are smaller, as they start before all callers
        // wait.
        assert!((1..=24).contains(&(now - before)), "{now} {before}");
    }
    assert_eq!(client.statistics().lookups, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_waiting_takes_no_lookup_from_others() {
    let world = MemoryWorld::new();
    let client = world.client();
    let slow = MemoryFault::Delay(secs(1));
    world.registry.inject(MemoryOperation::Peek, slow);
    let begun = clock();
    let requests = (0..20).map(|number| {
        let request = client.request(format!("n-{}", number / 2), EchoMsg::new("hi"));
        request.deadline(match number {
            0 => Duration::from_millis(50),
            _ => secs(10),
        })
    });
    let answers = join_all(requests.map(|request| request.send())).await;
    let mut kinds = answers.into_iter().map(|answer| answer.unwrap_err().kind());
    assert_eq!(kinds.next(), Some(RequestErrorKind::DeadlineExceeded));
    assert!(kinds.all(|kind| kind == RequestErrorKind::UnknownName));
    assert!(begun.elapsed() < secs(2), "{:?}", begun.elapsed());
    assert_eq!(client.statistics().registry_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_ends_its_lookups_and_says_why() {
    let world = MemoryWorld::new();
    let client = world.client();
    world.registry.set_away(true);
    let (asked, ()) = tokio::join!(
        client.request("n", EchoMsg::new("x")).deadline(secs(20)),
        async {
            pass(secs(1)).await;
            client.close().await;
        }
    );
    let error = asked.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::ClientClosed, "{error}");
    assert!(!error.may_have_executed());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_a_member_does_not_know_yet_is_found() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let mailbox = server.mailbox("a", 10).await.unwrap();
    let client = world.client();
    for _ in 0..9 {
        let lag = MemoryFault::Lag;
        world.registry.inject(MemoryOperation::Peek, lag);
    }
    let request = client.request("a", EchoMsg::new("hi"));
    tokio::select! {
        biased;
        () = echo(mailbox) => panic!("the mailbox has ended"),
        answer = request.send() => assert_eq!(answer.unwrap().msg, "hi"),
    }
    // The location is cached, and was requested once more.
    assert_eq!(client.statistics().lookups, 1);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_proved_wrong_is_not_looked_up_at_a_member_that_may_lag() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let mailbox = server.mailbox("a", 10).await.unwrap();
    let client = world.client();
    let hi = || client.request("a", EchoMsg::new("hi")).send();
    tokio::select! {
        biased;
        () = echo(mailbox) => panic!("the mailbox has ended"),
        answer = hi() => drop(answer.unwrap()),
    }
    world.until_free("a").await;
    let mailbox = server.mailbox("a", 10).await.unwrap();
    let peeks = world.registry.calls(MemoryOperation::Peek);
    tokio::select! {
        biased;
        () = echo(mailbox) => panic!("the mailbox has ended"),
        answer = hi() => drop(answer.unwrap()),
    }
    let counted = client.statistics();
    assert_eq!((counted.not_held, counted.lookups), (1, 2));
    assert_eq!(world.registry.calls(MemoryOperation::Peek), peeks);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_was_not_tried_is_tried_as_soon_as_it_is_found_again() {
    const REFUSED: u64 = 9;
    let world = MemoryWorld::new();
    let server = world.server().max_streams_per_connection(1);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let mailbox: Mailbox<Request<EchoMsg>> = server.mailbox("a", 10).await.unwrap();
    let client = world.client();
    let hi = || client.request("a", EchoMsg::new("hi"));
    // These use all the credit of the link.
    let mut queued = pin!(join_all((0..3).map(|_| hi().send())));
    tokio::select! {
        biased;
        _ = &mut queued => panic!("nobody answers"),
        () = pass(Duration::from_millis(10)) => assert_eq!(mailbox.len(), 3),
    }
    let remembers = hi();
    let overdue = hi().deadline(Duration::from_millis(50)).await.unwrap_err();
    assert!(!overdue.may_have_executed(), "{overdue:?}");
    assert_eq!(client.statistics().locations_forgotten, 1);

    let refuse = |operation| world.registry.inject(operation, MemoryFault::Refuse);
    refuse(MemoryOperation::Peek);
    for _ in 0..REFUSED {
        refuse(MemoryOperation::Get);
    }
    let reads = || world.registry.calls(MemoryOperation::Get);
    let before = reads();
    let found = async {
        while reads() <= before + REFUSED {
            pass(Duration::from_millis(1)).await;
        }
        clock()
    };
    let answered = async {
        remembers.await.unwrap();
        clock()
    };
    let (found, answered, queued) = tokio::select! {
        biased;
        () = echo(mailbox) => panic!("the mailbox has ended"),
        all = async { tokio::join!(found, answered, queued) } => all,
    };
    assert!(queued.iter().all(Result::is_ok));
    // After so many tries, there would be a pause of at least 50 ms.
    let took = answered - found;
    assert!(took < Duration::from_millis(5), "{took:?}");
}

#[cfg(feature = "etcd")]
#[tokio::test(flavor = "multi_thread")]
async fn names_are_found_while_the_members_of_a_cluster_do_not_agree() {
    use actorgrid::{Client, Kind, Registry, Server};

    let mut cluster = testbed::EtcdCluster::start(3);
    let registry = Registry::connect(&cluster.url()).await.unwrap();
    let server = Server::builder("test", registry);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let mailbox = server.mailbox("a", 10).await.unwrap();
    let left = Registry::connect(&cluster.members()[0].url()).await;
    let client = Client::builder("test", left.unwrap())
        .registry_timeout(secs(1))
        .build();
    client.query(Kind::Peer).await.unwrap();
    for member in &mut cluster.members_mut()[1..] {
        member.kill();
    }
    // The members cannot agree on what is registered now. The session lives for a few more seconds.
    let error = client.query(Kind::Peer).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::Registry);
    let request = client.request("a", EchoMsg::new("hi")).deadline(secs(3));
    tokio::select! {
        biased;
        () = echo(mailbox) => panic!("the mailbox has ended"),
        answer = request.send() => assert_eq!(answer.unwrap().msg, "hi"),
    }
}
