//! Claims that are lost or late, or whose replies are: a name never has two holders, and is never
//! orphaned.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::time::Duration;

use actorgrid::{
    ActorStart, EchoMsg, Kind, MemoryFault, MemoryOperation, Name, Request, RequestErrorKind,
    ServerErrorKind,
};
use world::{MemoryWorld, Resource, World, eventually, on_both_registries, pass, secs};

on_both_registries! {
    an_address_that_is_held_is_an_error_and_its_holder_is_not_disturbed,
}

const STEPS: [MemoryOperation; 4] = [
    MemoryOperation::Claim,
    MemoryOperation::Raise,
    MemoryOperation::Get,
    MemoryOperation::Release,
];

fn faults() -> [MemoryFault; 8] {
    [
        MemoryFault::Refuse,
        MemoryFault::LoseRequest,
        MemoryFault::LoseReply,
        MemoryFault::FailReply,
        MemoryFault::Delay(Duration::from_millis(500)),
        MemoryFault::Delay(secs(3)),
        MemoryFault::ArriveLate(Duration::from_millis(50)),
        MemoryFault::ArriveLate(secs(4)),
    ]
}

/// Two peers race for a name while faults hit the steps of the claim. Once all is quiet, the name
/// has one holder or none, and it can be released and claimed again.
async fn race(script: &[(MemoryOperation, MemoryFault)]) {
    let world = MemoryWorld::new();
    let resource = Resource::default();
    let bind = async || {
        let server = world.server().actor_type(resource.holder_type("holder"));
        server.bind("127.0.0.1:0").await.unwrap()
    };
    let (one, two) = (bind().await, bind().await);
    let client = world.client();
    for (operation, fault) in script {
        world.registry.inject(*operation, *fault);
    }
    let start = |server: &actorgrid::Server| {
        // Uses each peer's own client, so that the start itself needs no lookup.
        let client = server.client().clone();
        let peer = server.peer().clone();
        async move {
            client
                .start(peer, ActorStart::new("n", "holder"))
                .deadline(secs(30))
                .await
        }
    };
    let (a, b) = tokio::join!(start(&one), start(&two));
    let won = [&a, &b].iter().filter(|outcome| outcome.is_ok()).count();
    assert!(won <= 1, "{script:?}: two starts won");
    eventually("the winner runs", || resource.holders("n") == won).await;
    for error in [&a, &b]
        .into_iter()
        .filter_map(|outcome| outcome.as_ref().err())
    {
        assert!(!error.may_have_executed(), "{script:?}: {error:?}");
    }

    // Requests that were still in flight arrive, and change nothing.
    pass(secs(10)).await;
    assert_eq!(resource.holders("n"), won, "{script:?}");
    assert_eq!(
        world.keys_of("n").await.len(),
        won,
        "{script:?}: {:?}",
        world.keys_of("n").await
    );
    assert!(resource.most() <= 1, "{script:?}");

    if won == 1 {
        // The last fault of the script may hit the lookup.
        while let Err(error) = client.stop("n").await {
            assert!(
                error.is_retryable() && !error.may_have_executed(),
                "{script:?}: {error:?}"
            );
        }
    }
    world.until_free("n").await;
    let again = client
        .start(two.peer(), ActorStart::new("n", "holder"))
        .await;
    assert!(again.is_ok(), "{script:?}: {again:?}");
    eventually("the holder runs again", || resource.holders("n") == 1).await;
    let tokens = resource.tokens("n");
    assert!(tokens.is_sorted(), "{script:?}: {tokens:?}");
    one.shutdown().await.unwrap();
    two.shutdown().await.unwrap();
    assert_eq!(world.registry.keys(), [""; 0], "{script:?}");
    assert_eq!(world.registry.leases(), 0, "{script:?}");
}

#[tokio::test(start_paused = true)]
async fn each_step_fails_in_turn() {
    for step in STEPS {
        for fault in faults() {
            race(&[(step, fault)]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_in_doubt_fails_at_each_further_step() {
    let doubts = [
        MemoryFault::LoseRequest,
        MemoryFault::LoseReply,
        MemoryFault::FailReply,
        MemoryFault::ArriveLate(Duration::from_millis(50)),
        MemoryFault::ArriveLate(secs(4)),
    ];
    for doubt in doubts {
        for step in STEPS {
            for fault in faults() {
                race(&[(MemoryOperation::Claim, doubt), (step, fault)]).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn both_claims_are_in_doubt() {
    for first in faults() {
        for second in faults() {
            let script = [
                (MemoryOperation::Claim, first),
                (MemoryOperation::Claim, second),
                (MemoryOperation::Raise, MemoryFault::LoseReply),
                (MemoryOperation::Get, MemoryFault::FailReply),
            ];
            race(&script).await;
        }
    }
}

/// Fails each step of a session's lease and first transaction in turn. The server then either
/// serves, or reports why it cannot; in that case nothing that it leaves behind outlives its lease.
#[tokio::test(start_paused = true)]
async fn a_first_claim_fails_at_each_step() {
    let steps = [
        MemoryOperation::Grant,
        MemoryOperation::Claim,
        MemoryOperation::Revoke,
    ];
    for step in steps {
        for fault in faults() {
            let world = MemoryWorld::new();
            world.registry.inject(step, fault);
            match world.server().bind("127.0.0.1:7000").await {
                Ok(server) => {
                    assert_eq!(world.client().query(Kind::Peer).await.unwrap().len(), 1);
                    // The fault may hit this last step; then the lease expires.
                    let revoked = server.shutdown().await.is_ok();
                    assert!(revoked || step == MemoryOperation::Revoke, "{fault:?}");
                }
                Err(error) => {
                    assert_eq!(
                        error.kind(),
                        ServerErrorKind::Registry,
                        "{step:?} {fault:?}: {error}"
                    );
                    assert!(world.registry.keys().is_empty(), "{step:?} {fault:?}");
                }
            }
            // A request in flight may still grant a lease that nobody renews.
            pass(secs(20)).await;
            assert_eq!(world.registry.leases(), 0, "{step:?} {fault:?}");
            assert_eq!(world.registry.keys(), [""; 0], "{step:?} {fault:?}");
            world.server().bind("127.0.0.1:7000").await.unwrap();
        }
    }
}

async fn an_address_that_is_held_is_an_error_and_its_holder_is_not_disturbed(world: World) {
    address_that_is_held(&world, || {}).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_held_is_an_error_even_if_the_answer_is_lost() {
    for fault in [MemoryFault::LoseReply, MemoryFault::FailReply] {
        let world = MemoryWorld::new();
        let fail = || world.registry.inject(MemoryOperation::Claim, fault);
        address_that_is_held(&world, fail).await;
    }
}

async fn address_that_is_held(world: &World, before_the_second: impl FnOnce()) {
    let resource = Resource::default();
    let first = world.server().actor_type(resource.holder_type("holder"));
    let first = first.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    client
        .start(first.peer(), ActorStart::new("n", "holder"))
        .await
        .unwrap();
    eventually("the holder runs", || resource.holders("n") == 1).await;
    let before = world.keys();
    before_the_second();
    let second = world
        .server()
        .advertise(first.address().to_string())
        .bind("127.0.0.1:0")
        .await;
    let error = second.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::AddressInUse);
    let holder = error.holder().unwrap();
    assert!(holder.lease.is_some() && holder.time_left > Some(Duration::ZERO));
    assert!(before.contains(&holder.key), "{holder}");
    // The holder's peer registration has the same token.
    let registered = client.find(Kind::Peer, first.peer()).await.unwrap();
    assert_eq!(registered.unwrap().token, holder.token);
    assert_eq!(world.keys(), before);
    assert_eq!(world.leases(), 1);
    assert_eq!(resource.holders("n"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_start_ends_even_if_the_registry_goes_away_in_the_middle() {
    let world = MemoryWorld::new();
    world
        .registry
        .inject(MemoryOperation::Claim, MemoryFault::FailReply);
    for _ in 0..1_000 {
        world
            .registry
            .inject(MemoryOperation::Revoke, MemoryFault::LoseRequest);
    }
    let bind = world.server().bind("127.0.0.1:0");
    let error = tokio::time::timeout(secs(60), bind)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Registry);
    assert_eq!(world.registry.leases(), 0, "the lease has expired by now");

    // The registry carries out every claim, but every reply fails.
    let world = MemoryWorld::new();
    for _ in 0..1_000 {
        world
            .registry
            .inject(MemoryOperation::Claim, MemoryFault::FailReply);
    }
    let bind = world.server().bind("127.0.0.1:0");
    let error = tokio::time::timeout(secs(60), bind)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Registry);
    assert!(world.registry.calls(MemoryOperation::Grant) < 100);
    assert_eq!(world.registry.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_waits_for_leaves_no_name() {
    let world = MemoryWorld::new();
    let resource = Resource::default();
    let server = world.server().actor_type(resource.holder_type("holder"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    world.registry.inject(
        MemoryOperation::Claim,
        MemoryFault::Delay(Duration::from_millis(1_500)),
    );
    let start = client
        .start(server.peer(), ActorStart::new("n", "holder"))
        .deadline(secs(1));
    let error = start.await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::DeadlineExceeded);
    assert!(error.may_have_executed());
    pass(secs(5)).await;
    assert_eq!(world.keys_of("n").await, [""; 0]);
    assert_eq!(resource.tokens("n"), []);
    let name = Name::new("n").unwrap();
    assert_eq!(client.find(Kind::Actor, &name).await.unwrap(), None);
    client
        .start(server.peer(), ActorStart::new("n", "holder"))
        .await
        .unwrap();
}

/// An abandoned claim may hold the name. The next claim of the name waits until this is settled,
/// and does not report the name as taken.
#[tokio::test(start_paused = true)]
async fn a_name_whose_claim_was_abandoned_can_be_claimed_again_at_once() {
    for fault in faults() {
        let world = MemoryWorld::new();
        let resource = Resource::default();
        let server = world.server().actor_type(resource.holder_type("holder"));
        let server = server.bind("127.0.0.1:0").await.unwrap();
        let client = world.client();
        // While the epoch is being raised, claims wait and are then sent together.
        world
            .registry
            .inject(MemoryOperation::Claim, MemoryFault::FailReply);
        world
            .registry
            .inject(MemoryOperation::Raise, MemoryFault::Delay(secs(1)));
        world.registry.inject(MemoryOperation::Claim, fault);
        let start = |name: &'static str, deadline: Duration| {
            let start = client.start(server.peer(), ActorStart::new(name, "holder"));
            start.deadline(deadline).send()
        };
        let given_up = async || {
            for _ in 0..2 {
                // The fault may make the registry reject the claim at once.
                let _ = start("n", Duration::from_millis(400)).await;
                let mailbox = server.mailbox::<Request<EchoMsg>>("m", 1);
                let _ = tokio::time::timeout(Duration::from_millis(10), mailbox).await;
            }
        };
        let (other, ()) = tokio::join!(start("other", secs(30)), given_up());
        other.unwrap();
        start("n", secs(30)).await.unwrap();
        server.mailbox::<Request<EchoMsg>>("m", 1).await.unwrap();
        assert_eq!(resource.holders("n"), 1, "{fault:?}");
        assert_eq!(resource.most(), 1, "{fault:?}");
        server.shutdown().await.unwrap();
        assert_eq!(world.registry.keys(), [""; 0], "{fault:?}");
    }
}
