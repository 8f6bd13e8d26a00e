//! Joins over the faults of the registry in the process.

use std::sync::Arc;

use super::*;
use crate::environment::Simulation;
use crate::name::Namespace;
use crate::registry::{MemoryFault, MemoryOperation, MemoryRegistry};

const TTL: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);

fn start() -> (Environment, MemoryRegistry, Identity) {
    let environment = Simulation::new(7).environment();
    let memory = MemoryRegistry::new(&environment);
    let identity = Identity {
        namespace: Namespace::new("test").unwrap(),
        address: "127.0.0.1:4000".parse().unwrap(),
        annotations: Arc::new([]),
    };
    (environment, memory, identity)
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_given_up_does_not_sit_out_its_pause() {
    for millis in [50, 450, 2_500, 4_321] {
        let (environment, memory, identity) = start();
        let joiner = Joiner::new(&environment, &memory.registry(), &identity, TTL);
        // All its time goes into pauses.
        memory.set_refusing(true);
        let given_up = CancellationToken::new();
        let (error, cancelled) = tokio::join!(
            async {
                let joined = joiner.join(true, &given_up).await;
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
    // Each exchange takes as long as it may, and nothing is ever confirmed.
    memory.inject(MemoryOperation::Grant, MemoryFault::Delay(limit * 9 / 10));
    memory.inject(MemoryOperation::Claim, MemoryFault::LoseReply);
    for _ in 0..100 {
        memory.inject(MemoryOperation::Revoke, MemoryFault::LoseRequest);
    }
    let begun = environment.now();
    let given_up = CancellationToken::new();
    let (joined, ()) = tokio::join!(joiner.join(false, &given_up), async {
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
    // When the join has begun to wait, and at the moment at which the holder goes.
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
            holder.join(false, &given_up).await.unwrap();
            if compacted {
                // The watch is refused that would begin behind the holder's revision.
                memory.overwrite("other", "x");
                memory.compact();
            }
            let joiner = Joiner::new(&environment, &registry, &identity, TTL);
            let (joined, gone) = tokio::join!(
                async {
                    let joined = joiner.join(false, &given_up).await;
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
