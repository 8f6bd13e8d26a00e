//! The leader: kept running, replaced without polling, restarted with back-off.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actorgrid::{ActorType, Environment, Kind, MemoryOperation, Name, ServerState};
use world::{MemoryWorld, Resource, World, eventually, on_both_registries, pass, secs};

on_both_registries! {
    a_leader_that_ends_gracefully_is_replaced_without_a_poll,
    a_leader_whose_peer_crashes_is_replaced_when_its_lease_has_run_out,
    the_peer_on_which_the_leader_fails_waits_longest,
    leadership_can_be_disallowed,
}

async fn a_leader_that_ends_gracefully_is_replaced_without_a_poll(world: World) {
    let resource = Resource::default();
    let mut servers = Vec::new();
    for _ in 0..3 {
        let server = world.server().actor_type(resource.holder_type("leader"));
        servers.push(server.bind("127.0.0.1:0").await.unwrap());
    }
    let client = world.client();
    let leader = Name::new("leader").unwrap();
    for round in 1..=3 {
        eventually("a leader runs", || resource.holders("leader") == 1).await;
        world.idle(secs(100)).await;
        let holder = client
            .find(Kind::Actor, &leader)
            .await
            .unwrap()
            .unwrap()
            .peer;
        let at = servers
            .iter()
            .position(|server| *server.peer() == holder)
            .unwrap();
        let begun = world::clock();
        servers.remove(at).shutdown().await.unwrap();
        if round < 3 {
            eventually("the next leader runs", || {
                resource.tokens("leader").len() == round + 1
            })
            .await;
            assert!(begun.elapsed() < world.bound(secs(1)));
        }
    }
    assert!(resource.tokens("leader").is_sorted());
    assert_eq!(resource.most(), 1);
    assert_eq!(world.keys_of("leader").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_registry_is_rarely_asked_about_a_leader_that_runs() {
    let world = MemoryWorld::new();
    let resource = Resource::default();
    let mut servers = Vec::new();
    for _ in 0..3 {
        let server = world.server().actor_type(resource.holder_type("leader"));
        servers.push(server.bind("127.0.0.1:0").await.unwrap());
    }
    eventually("a leader runs", || resource.holders("leader") == 1).await;
    let asked = || {
        [
            MemoryOperation::Get,
            MemoryOperation::List,
            MemoryOperation::Claim,
        ]
        .map(|operation| world.registry.calls(operation))
    };
    let before = asked();
    pass(secs(100)).await;
    let [gets, lists, claims] = asked();
    // Each of three peers reads three keys, its own two and the leader's, three times per time to
    // live, or up to a third more often.
    let reads = gets - before[0];
    assert!((270..=360).contains(&reads), "{reads}");
    assert_eq!([lists, claims], before[1..]);
}

/// No watch reports the end of a leader: it is replaced within half a time to live.
#[tokio::test(start_paused = true)]
async fn a_leader_whose_end_no_watch_reports_is_replaced() {
    let world = MemoryWorld::new();
    let resource = Resource::default();
    let bind = async || {
        let server = world.server().actor_type(resource.holder_type("leader"));
        server.bind("127.0.0.1:0").await.unwrap()
    };
    let one = bind().await;
    eventually("a leader runs", || resource.holders("leader") == 1).await;
    let two = bind().await;
    for round in 0..5 {
        pass(secs(60) + Duration::from_millis(round * 777)).await;
        world.registry.mute_watches();
        let begun = world::clock();
        match round {
            0 => one.client().stop("leader").await.unwrap(),
            _ => two.client().stop("leader").await.unwrap(),
        }
        eventually("the next leader runs", || {
            resource.tokens("leader").len() as u64 == round + 2
        })
        .await;
        assert!(begun.elapsed() <= secs(5), "{:?}", begun.elapsed());
    }
    assert_eq!(resource.most(), 1);
}

/// No watch can be opened: a candidate acts on what it reads all the same.
#[tokio::test(start_paused = true)]
async fn a_candidate_that_gets_no_watch_leads_all_the_same() {
    use actorgrid::MemoryFault;
    let world = MemoryWorld::new();
    let resource = Resource::default();
    let bind = async || {
        let server = world.server().actor_type(resource.holder_type("leader"));
        server.bind("127.0.0.1:0").await.unwrap()
    };
    let one = bind().await;
    eventually("a leader runs", || resource.holders("leader") == 1).await;
    for _ in 0..1_000 {
        let swallowed = MemoryFault::LoseReply;
        world.registry.inject(MemoryOperation::Watch, swallowed);
    }
    let _two = bind().await;
    pass(secs(12)).await;
    let begun = world::clock();
    one.shutdown().await.unwrap();
    eventually("the next leader runs", || resource.holders("leader") == 1).await;
    // The bound allows for the timeout of one exchange, a pause and two exchanges.
    assert!(begun.elapsed() <= secs(2), "{:?}", begun.elapsed());
}

async fn a_leader_whose_peer_crashes_is_replaced_when_its_lease_has_run_out(world: World) {
    let resource = Resource::default();
    let first = world
        .server()
        .lease_ttl(secs(5))
        .actor_type(resource.holder_type("leader"));
    let first = first.bind("127.0.0.1:0").await.unwrap();
    eventually("a leader runs", || resource.holders("leader") == 1).await;
    let second = world
        .server()
        .lease_ttl(secs(5))
        .actor_type(resource.holder_type("leader"));
    let second = second.bind("127.0.0.1:0").await.unwrap();
    world.idle(secs(33)).await;
    drop(first);
    let begun = world::clock();
    eventually("the next leader runs", || {
        resource.tokens("leader").len() == 2
    })
    .await;
    assert!(
        begun.elapsed() <= world.bound(secs(7)),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(second.state(), ServerState::Serving);
}

/// Creates a leader type that fails at once, and records when it was started.
fn failing(starts: &Arc<Mutex<Vec<tokio::time::Instant>>>, in_constructor: bool) -> ActorType {
    let starts = starts.clone();
    ActorType::new("leader", move |_start| {
        starts.lock().unwrap().push(world::clock());
        async move {
            if in_constructor {
                return Err("no".into());
            }
            Ok(FailsAtOnce)
        }
    })
}

struct FailsAtOnce;

impl actorgrid::Actor for FailsAtOnce {
    async fn act(self, _ctx: actorgrid::ActorContext) -> actorgrid::ActorResult {
        Err("no".into())
    }
}

/// Runs on the memory registry alone: it tests waits that last for minutes.
#[tokio::test(start_paused = true)]
async fn a_leader_that_fails_is_restarted_with_the_documented_back_off() {
    for in_constructor in [false, true] {
        let world = MemoryWorld::new();
        let starts = Arc::new(Mutex::new(Vec::new()));
        let server = world.server().actor_type(failing(&starts, in_constructor));
        let _server = server.bind("127.0.0.1:0").await.unwrap();
        pass(secs(200)).await;
        let starts = starts.lock().unwrap();
        let gaps: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // At once, then 100 ms doubling to 30 s, each shortened by up to a quarter.
        let mut steps = vec![Duration::ZERO];
        steps.extend(
            (0..)
                .map(|n| secs(30).min(Duration::from_millis(100) * 2_u32.pow(n.min(20))))
                .take(30),
        );
        for (gap, step) in gaps.iter().zip(&steps) {
            let least = step.mul_f64(0.75);
            let most = *step + Duration::from_millis(5);
            assert!(
                (least..=most).contains(gap),
                "{gap:?} is not {step:?}: {gaps:?}"
            );
        }
        // 51.1 s of doubling steps, then one every 22.5 to 30 s.
        assert!((13..=18).contains(&starts.len()), "{} starts", starts.len());
    }
}

/// Runs on the memory registry alone: it tests waits that last for minutes.
#[tokio::test(start_paused = true)]
async fn a_leader_whose_constructor_hangs_is_restarted_with_the_same_back_off() {
    let world = MemoryWorld::new();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let noted = starts.clone();
    let leader = ActorType::new("leader", move |_start| {
        noted.lock().unwrap().push(world::clock());
        std::future::pending::<Result<FailsAtOnce, actorgrid::BoxError>>()
    });
    let server = world
        .server()
        .constructor_timeout(secs(1))
        .actor_type(leader);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    pass(secs(60)).await;
    let starts = starts.lock().unwrap();
    let step = |n: u32| Duration::from_millis(100) * 2_u32.pow(n);
    let steps = std::iter::once(Duration::ZERO).chain((0..).map(step));
    for (pair, step) in starts.windows(2).zip(steps) {
        let gap = pair[1] - pair[0];
        let least = secs(1) + step.mul_f64(0.75);
        let most = secs(1) + step + Duration::from_millis(5);
        assert!((least..=most).contains(&gap), "{gap:?} is not {step:?}");
    }
    assert!((9..=11).contains(&starts.len()), "{} starts", starts.len());
    assert!(server.statistics().constructors_timed_out >= 9);
}

/// Runs on the memory registry alone: it tests waits of half a minute.
#[tokio::test(start_paused = true)]
async fn the_back_off_begins_anew_after_ten_seconds_of_life() {
    let world = MemoryWorld::new();
    let lives = Arc::new(AtomicUsize::new(0));
    let starts = Arc::new(Mutex::new(Vec::new()));
    let (counted, noted) = (lives.clone(), starts.clone());
    let server = world.server().actor_fn("leader", move |_start, _ctx| {
        let life = counted.fetch_add(1, Ordering::SeqCst);
        noted.lock().unwrap().push(world::clock());
        async move {
            if life == 5 {
                tokio::time::sleep(secs(11)).await;
            }
            Err("no".into())
        }
    });
    let _server = server.bind("127.0.0.1:0").await.unwrap();
    pass(secs(30)).await;
    let starts = starts.lock().unwrap();
    let gap = starts[6] - starts[5];
    assert!(
        gap >= secs(11) && gap < secs(11) + Duration::from_millis(5),
        "{gap:?}"
    );
    assert!(starts[7] - starts[6] < Duration::from_millis(200));
}

async fn the_peer_on_which_the_leader_fails_waits_longest(world: World) {
    let resource = Resource::default();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let bad = world
        .server()
        .actor_type(failing(&starts, false))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let before = starts.lock().unwrap().len();
    let good = world
        .server()
        .actor_type(resource.holder_type("leader"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    eventually("the good peer leads", || resource.holders("leader") == 1).await;
    world.idle(secs(100)).await;
    assert_eq!(resource.tokens("leader").len(), 1);
    assert!(starts.lock().unwrap().len() <= before + 3);
    drop((bad, good));
}

async fn leadership_can_be_disallowed(world: World) {
    let resource = Resource::default();
    let server = world
        .server()
        .actor_type(resource.holder_type("leader"))
        .disallow_leadership();
    let _server = server.bind("127.0.0.1:0").await.unwrap();
    world.idle(secs(100)).await;
    assert_eq!(resource.tokens("leader"), []);
}

/// Every step of a start of the leader fails once, on the leader's host and on the other peer: the
/// grid still has exactly one leader.
#[tokio::test(start_paused = true)]
async fn a_step_that_fails_never_gives_two_leaders_nor_none() {
    use actorgrid::MemoryFault;
    for operation in [
        MemoryOperation::Claim,
        MemoryOperation::List,
        MemoryOperation::Watch,
        MemoryOperation::Release,
        MemoryOperation::Get,
    ] {
        for fault in [
            MemoryFault::Refuse,
            MemoryFault::LoseReply,
            MemoryFault::FailReply,
            MemoryFault::ArriveLate(secs(1)),
        ] {
            let world = MemoryWorld::new();
            let resource = Resource::default();
            let bind = async |environment: Environment| {
                let server = world
                    .server_in(environment)
                    .actor_type(resource.holder_type("leader"));
                server.bind("127.0.0.1:0").await.unwrap()
            };
            let one = bind(world.simulation.environment()).await;
            let two = bind(world.simulation.environment()).await;
            world.registry.inject(operation, fault);
            world.registry.inject(operation, fault);
            world.registry.break_watches();
            eventually("a leader runs", || resource.holders("leader") == 1).await;
            pass(secs(5)).await;
            let _ = world.client().stop("leader").await;
            pass(secs(20)).await;
            assert_eq!(resource.holders("leader"), 1, "{operation:?} {fault:?}");
            assert_eq!(resource.most(), 1, "{operation:?} {fault:?}");
            assert!(resource.tokens("leader").is_sorted());
            drop((one, two));
        }
    }
}

/// A candidate reopens its broken watch however often its starts are rejected meanwhile: it learns
/// who leads, and nobody polls.
#[tokio::test(start_paused = true)]
async fn a_candidate_whose_watch_breaks_learns_who_leads() {
    use actorgrid::MemoryFault;
    for slow in [Duration::ZERO, Duration::from_millis(300)] {
        let world = MemoryWorld::new();
        let resource = Resource::default();
        let mut servers = Vec::new();
        for _ in 0..2 {
            let server = world.server().actor_type(resource.holder_type("leader"));
            servers.push(server.bind("127.0.0.1:0").await.unwrap());
        }
        eventually("a leader runs", || resource.holders("leader") == 1).await;
        // Both peers see that there is no leader, and then nothing more for a while.
        for _ in 0..4 {
            world
                .registry
                .inject(MemoryOperation::Claim, MemoryFault::Refuse);
        }
        world.client().stop("leader").await.unwrap();
        world.registry.set_refusing(true);
        pass(secs(3)).await;
        if !slow.is_zero() {
            for _ in 0..100 {
                world
                    .registry
                    .inject(MemoryOperation::List, MemoryFault::Delay(slow));
            }
        }
        world.registry.set_refusing(false);
        eventually("a leader runs again", || resource.holders("leader") == 1).await;
        pass(secs(10)).await;
        let before = world.registry.calls(MemoryOperation::Claim);
        pass(secs(100)).await;
        assert_eq!(world.registry.calls(MemoryOperation::Claim), before);
        assert_eq!(resource.most(), 1);
    }
}
