//! Tests of joins despite faults of the memory registry.

use std::sync::Arc;

use super::*;
use crate::environment::Simulation;
use crate::name::Namespace;
use crate::registry::{MemoryFault, MemoryOperation, MemoryRegistry};

const TTL: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);
/// The default of `join_timeout`.
const BOUND: Option<Duration> = Some(Duration::from_secs(3 * 15 + 3));

fn start() -> (Environment, MemoryRegistry, Identity) {
    let environment = Simulation::new(7).environment();
    let memory = MemoryRegistry::new(&environment);
    let identity = Identity {
        namespace: Namespace::new("test").unwrap(),
        address: "127.0.0.1:4000".parse().unwrap(),
        annotations: Arc::new([]),
        link: None,
    };
    (environment, memory, identity)
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_given_up_does_not_sit_out_its_pause() {
    for millis in [50, 450, 2_500, 4_321] {
        let (environment, memory, identity) = start();
        let joiner = Joiner::new(&environment, &memory.registry(), &identity, TTL);
        // The join spends all its time in pauses.
        memory.set_refusing(true);
        let given_up = CancellationToken::new();
        let (error, cancelled) = tokio::join!(
            async {
                let joined = joiner.join(None, &given_up).await;
                (joined.err(), environment.now())
            },
            async {
                environment.sleep(Duration::from_millis(millis)).await;
                given_up.cancel();
                environment.now()
            }
        );
        assert!(matches!(error, (Some(JoinError::GivenUp), at) if at == cancelled));
    }
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_given_up_ends_after_a_little_more_than_one_ttl() {
    let (environment, memory, identity) = start();
    let joiner = Joiner::new(&environment, &memory.registry(), &identity, TTL);
    let limit = try_limit(TTL);
    // Each exchange takes as long as it may, and is never confirmed.
    memory.inject(MemoryOperation::Grant, MemoryFault::Delay(limit * 9 / 10));
    memory.inject(MemoryOperation::Claim, MemoryFault::LoseReply);
    for _ in 0..100 {
        memory.inject(MemoryOperation::Revoke, MemoryFault::LoseRequest);
    }
    let begun = environment.now();
    let given_up = CancellationToken::new();
    let (joined, ()) = tokio::join!(joiner.join(BOUND, &given_up), async {
        environment.sleep(SECOND).await;
        given_up.cancel();
    });
    assert!(joined.is_err());
    let elapsed = environment.now().since(begun);
    assert!(elapsed > TTL && elapsed <= TTL + 2 * limit, "{elapsed:?}");
    assert_eq!(memory.keys(), [""; 0]);
    assert_eq!(memory.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_goes_is_noticed_over_broken_and_compacted_watches() {
    type Disturb = fn(&MemoryRegistry);
    // Faults once the join has begun to wait, and at the moment when the holder leaves.
    let cases: [(&str, Disturb, Disturb); 5] = [
        ("nothing", |_| (), |_| ()),
        ("broken before", MemoryRegistry::break_watches, |_| ()),
        ("broken", |_| (), MemoryRegistry::break_watches),
        ("compacted", |_| (), MemoryRegistry::compact),
        (
            "broken and compacted",
            |memory| {
                memory.break_watches();
                memory.compact();
            },
            |memory| {
                memory.break_watches();
                memory.compact();
            },
        ),
    ];
    for compacted in [false, true] {
        for (name, before, at_end) in cases {
            let (environment, memory, identity) = start();
            let registry = memory.registry();
            let given_up = CancellationToken::new();
            let holder = Joiner::new(&environment, &registry, &identity, 4 * TTL);
            holder.join(BOUND, &given_up).await.unwrap();
            if compacted {
                // A watch from the revision after the holder's is refused.
                memory.overwrite("other", "x");
                memory.compact();
            }
            let joiner = Joiner::new(&environment, &registry, &identity, TTL);
            let (joined, gone) = tokio::join!(
                async {
                    let joined = joiner.join(BOUND, &given_up).await;
                    joined.map(|_| environment.now())
                },
                async {
                    environment.sleep(5 * SECOND).await;
                    before(&memory);
                    environment.sleep(5 * SECOND).await;
                    memory.expire_leases();
                    at_end(&memory);
                    environment.now()
                }
            );
            let waited = joined.unwrap().since(gone);
            // The holder's lease had 50 s left.
            assert!(waited <= 2 * SECOND, "{name}, {compacted}: {waited:?}");
        }
    }
}

/// Holds the address under a lease of this time to live.
async fn holder(environment: &Environment, memory: &MemoryRegistry, ttl: Duration) -> Joined {
    let (_, _, identity) = start();
    let registry = memory.registry();
    let joiner = Joiner::new(environment, &registry, &identity, ttl);
    let joined = joiner.join(BOUND, &CancellationToken::new()).await;
    joined.unwrap()
}

/// Joins with a bound. Returns how long it took until the address was reported as in use, and the
/// remaining time of the holder's lease.
async fn is_in_use(
    environment: &Environment,
    memory: &MemoryRegistry,
    identity: &Identity,
) -> (Duration, Option<Duration>) {
    let registry = memory.registry();
    let joiner = Joiner::new(environment, &registry, identity, TTL);
    let begun = environment.now();
    match joiner.join(BOUND, &CancellationToken::new()).await {
        Err(JoinError::AddressInUse { left, .. }) => (environment.now().since(begun), left),
        other => panic!("{:?}", other.map(|_| "joined")),
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_lease_is_long_is_not_waited_for_beyond_the_bound() {
    let (environment, memory, identity) = start();
    let hour = Duration::from_secs(3600);
    holder(&environment, &memory, hour).await;
    let (took, left) = is_in_use(&environment, &memory, &identity).await;
    let bound = BOUND.unwrap();
    assert!(took >= bound && took <= bound + SECOND, "{took:?}");
    let expected = hour - bound;
    assert!(left.unwrap().abs_diff(expected) < SECOND, "{left:?}");
    assert_eq!(memory.leases(), 1);
}

#[tokio::test(start_paused = true)]
async fn holders_that_follow_each_other_are_not_waited_for_beyond_the_bound() {
    let (environment, memory, identity) = start();
    let renewing = async {
        loop {
            holder(&environment, &memory, TTL / 3).await;
            // The next holder follows at once, so each attempt finds another holder.
            environment.sleep(TTL / 3 - SECOND).await;
            memory.expire_leases();
        }
    };
    let in_use = async {
        environment.sleep(SECOND).await;
        is_in_use(&environment, &memory, &identity).await
    };
    let (took, _) = tokio::select! {
        biased;
        () = renewing => unreachable!(),
        in_use = in_use => in_use,
    };
    let bound = BOUND.unwrap();
    assert!(took >= bound && took <= bound + TTL, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_renews_is_reported_when_its_lease_should_have_run_out() {
    let (environment, memory, identity) = start();
    let held = holder(&environment, &memory, TTL).await;
    let registry = TimedRegistry::new(&environment, &memory.registry(), TTL);
    let renewing = async {
        loop {
            environment.sleep(TTL / 5).await;
            let renewed = registry.exchange(|backend| backend.renew(held.lease.id));
            renewed.await.unwrap();
        }
    };
    let (took, _) = tokio::select! {
        biased;
        () = renewing => unreachable!(),
        in_use = is_in_use(&environment, &memory, &identity) => in_use,
    };
    assert!(took <= TTL + EXPIRY_GRACE + SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_has_gone_is_waited_for_though_its_lease_is_started_anew() {
    let (environment, memory, identity) = start();
    let held = holder(&environment, &memory, TTL).await;
    let registry = memory.registry();
    let joiner = Joiner::new(&environment, &registry, &identity, TTL);
    let begun = environment.now();
    let (joined, ()) = tokio::join!(
        async {
            let joined = joiner.join(BOUND, &CancellationToken::new()).await;
            joined.map(|_| environment.now().since(begun))
        },
        async {
            // Like a change of etcd's leader, which knows when the lease was granted, but not when
            // it was renewed.
            environment.sleep(TTL - SECOND).await;
            let timed = TimedRegistry::new(&environment, &registry, TTL);
            let renewed = timed.exchange(|backend| backend.renew(held.lease.id));
            renewed.await.unwrap();
        }
    );
    let took = joined.unwrap();
    assert!(took >= 2 * TTL - SECOND && took <= 2 * TTL, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_without_a_lease_is_reported_at_once() {
    let (environment, memory, identity) = start();
    memory.overwrite(&keys::lock(&identity.address), "");
    let (took, _) = is_in_use(&environment, &memory, &identity).await;
    assert!(took <= EXPIRY_GRACE + SECOND, "{took:?}");
}
