//! Tests of sessions whose log panics, and of the order in which a session ends.

use std::sync::Arc;
use std::time::Duration;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;
use crate::environment::Simulation;
use crate::name::{Name, Namespace};
use crate::registry::{Kind, MemoryFault, MemoryOperation, MemoryRegistry};
use crate::session::{ClaimPlace, FenceReason, LongestStall, NAMES_PER_LEASE};

mod leases;

const TTL: Duration = Duration::from_secs(15);

struct World {
    simulation: Simulation,
    environment: Environment,
    memory: MemoryRegistry,
    session: Session,
}

impl World {
    /// Creates a session that watches its keys, at a time when no renewal is due.
    async fn new() -> Self {
        Self::with(NAMES_PER_LEASE).await
    }

    /// Creates such a session, whose leases carry this many names each.
    async fn with(names_per_lease: usize) -> Self {
        let simulation = Simulation::new(7);
        let environment = simulation.environment();
        let memory = MemoryRegistry::new(&environment);
        let identity = Identity {
            namespace: Namespace::new("test").unwrap(),
            address: "127.0.0.1:4000".parse().unwrap(),
            annotations: Arc::new([]),
            link: None,
        };
        let terms = SessionTerms {
            ttl: TTL,
            names_per_lease,
            join_timeout: TTL,
            max_stall: TTL,
            longest_stall: Arc::new(LongestStall::default()),
        };
        let (registry, never) = (memory.registry(), CancellationToken::new());
        let session =
            Session::join(&environment, &registry, &identity, &terms, false, &never).await;
        environment.sleep(TTL / 15).await;
        Self {
            simulation,
            environment,
            memory,
            session: session.unwrap(),
        }
    }

    /// Asserts that the session is fenced and aborted within `bound` because a task died.
    async fn is_aborted(&self, bound: Duration) {
        let aborted = self.session.fence().aborted().cancelled();
        // Allow a little more, so that a timer that fires at the bound counts as in time.
        let bound = bound + Duration::from_millis(2);
        let aborted = self.environment.timeout(bound, aborted).await;
        assert_eq!(aborted, Some(()), "the session was not aborted");
        assert_eq!(self.session.fence().reason(), Some(FenceReason::TaskDied));
        assert!(!self.session.fence().admits());
    }
}

/// A log that panics at every warning of this thread, which runs the whole simulation.
struct PanickingLog;

impl PanickingLog {
    fn begin() -> DefaultGuard {
        tracing::subscriber::set_default(Self)
    }
}

impl Subscriber for PanickingLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        panic!("on purpose, at an event of {}", event.metadata().target());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_dies_is_noticed_though_the_log_panics() {
    let world = World::new().await;
    let _log = PanickingLog::begin();
    world
        .memory
        .inject(MemoryOperation::Renew, MemoryFault::Panic);
    world.is_aborted(TTL / 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_own_keys_that_dies_is_noticed_though_the_log_panics() {
    let world = World::new().await;
    let _log = PanickingLog::begin();
    world
        .memory
        .inject(MemoryOperation::Get, MemoryFault::Panic);
    world.memory.break_watches();
    world.is_aborted(Duration::from_millis(250)).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_driver_that_dies_is_noticed_though_the_log_panics() {
    let world = World::new().await;
    let _log = PanickingLog::begin();
    world
        .memory
        .inject(MemoryOperation::Claim, MemoryFault::Panic);
    let name = Name::new("a").unwrap();
    let names = [(Kind::Actor, &name)];
    let claimed = world.session.names().claim(&names, ClaimPlace::Any, ());
    assert!(claimed.await.is_err());
    world.is_aborted(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_of_a_stall_that_panics_is_noticed() {
    let world = World::new().await;
    let _log = PanickingLog::begin();
    world.simulation.stall(&world.environment, TTL / 2);
    world.is_aborted(TTL / 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_noticed_though_the_log_panics() {
    let world = World::new().await;
    let _log = PanickingLog::begin();
    world
        .memory
        .inject(MemoryOperation::Renew, MemoryFault::Refuse);
    world.is_aborted(TTL / 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_lost_without_a_report_fences_within_half_the_ttl() {
    for lost in ["test.peer.", "registry.uniq-lock."] {
        for overwritten in [false, true] {
            let world = World::new().await;
            let is_lost = |key: &String| key.starts_with(lost);
            let key = world.memory.keys().into_iter().find(is_lost).unwrap();
            // Let it watch for a while, so that the time of the next read plays no part.
            world.environment.sleep(TTL * 7).await;
            assert!(world.session.fence().admits());
            world.memory.mute_watches();
            match overwritten {
                true => world.memory.overwrite(&key, "another's"),
                false => assert!(world.memory.delete(&key)),
            }
            let fenced = world.session.fence().fenced().cancelled();
            let fenced = world.environment.timeout(TTL / 2, fenced).await;
            assert_eq!(fenced, Some(()), "{key} {overwritten}: not fenced");
            assert_eq!(world.session.fence().reason(), Some(FenceReason::KeyLost));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_watchdog_that_dies_is_not_needed_to_abort() {
    let World {
        environment,
        memory,
        session,
        ..
    } = World::new().await;
    let Session {
        names,
        upkeep: _upkeep,
        tasks: _tasks,
        _watchdog: watchdog,
        ..
    } = session;
    drop(watchdog);
    memory.set_away(true);
    let aborted = environment.timeout(TTL, names.fence().aborted().cancelled());
    assert_eq!(aborted.await, Some(()));
    assert_eq!(names.fence().reason(), Some(FenceReason::Deadline));
}

/// Ends a session while a renewal is under way, with a registry that takes longer than the time
/// between renewals to confirm the revocation. If `fence` is set, fences the session first.
async fn nothing_is_renewed_once_it_is_revoked(fence: bool) {
    let World {
        environment,
        memory,
        session,
        ..
    } = World::new().await;
    memory.inject(MemoryOperation::Renew, MemoryFault::Delay(TTL / 15));
    environment.sleep(TTL / 5 - TTL / 30).await;
    assert_eq!(memory.calls(MemoryOperation::Renew), 1);
    if fence {
        session.fence().trip(FenceReason::KeyLost);
    }
    for _ in 0..3 {
        memory.inject(MemoryOperation::Revoke, MemoryFault::LoseRequest);
    }
    session.revoke().await;
    assert_eq!(memory.calls(MemoryOperation::Revoke), 4);
    assert_eq!(memory.leases(), 0);
    assert_eq!(memory.calls(MemoryOperation::Renew), 1);
    environment.sleep(2 * TTL).await;
    assert_eq!(memory.calls(MemoryOperation::Renew), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_renewed_once_a_session_that_is_left_is_revoked() {
    nothing_is_renewed_once_it_is_revoked(false).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_renewed_once_a_session_that_is_fenced_is_revoked() {
    nothing_is_renewed_once_it_is_revoked(true).await;
}
