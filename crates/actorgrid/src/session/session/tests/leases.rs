//! Tests of sessions with several leases.

use super::*;
use crate::registry::LeaseId;
use crate::session::{ClaimError, HeldClaim};

/// The number of names of a lease. Two places of the first lease are kept for the leader.
const NAMES: usize = 4;
const MOMENT: Duration = Duration::from_millis(10);
/// The time after which a lease is requested again.
const SECOND: Duration = Duration::from_secs(1);

fn key(name: &str) -> String {
    format!("test.actor.{name}")
}

impl World {
    /// Creates a session with a lease for each of these names, which it holds.
    async fn of<const N: usize>(names: [&str; N]) -> (Self, Vec<HeldClaim>) {
        let world = Self::with(NAMES).await;
        let mut held = Vec::new();
        for name in names {
            held.push(world.claim(name).await.unwrap());
            while world.has_room_beside(name) {
                let filler = format!("{name}-{}", held.len());
                held.push(world.claim(&filler).await.unwrap());
            }
        }
        world.environment.sleep(MOMENT).await;
        (world, held)
    }

    /// Whether the lease of a name, which is the last one, has room.
    fn has_room_beside(&self, name: &str) -> bool {
        let lease = self.lease(name);
        let keys = self.memory.keys();
        let actors = keys.iter().filter(|key| key.starts_with("test.actor."));
        let carried = actors.filter(|key| self.memory.lease_of(key) == Some(lease));
        let room = if lease == self.first() {
            NAMES - 2
        } else {
            NAMES
        };
        carried.count() < room
    }

    async fn claim(&self, name: &str) -> Result<HeldClaim, ClaimError> {
        self.claim_at(name, ClaimPlace::Any).await
    }

    async fn claim_at(&self, name: &str, place: ClaimPlace) -> Result<HeldClaim, ClaimError> {
        let name = Name::new(name).unwrap();
        let names = [(Kind::Actor, &name)];
        self.session.names().claim(&names, place, ()).await
    }

    fn lease(&self, name: &str) -> LeaseId {
        self.memory.lease_of(&key(name)).expect("a registered name")
    }

    /// Returns the lease of the peer's own registration.
    fn first(&self) -> LeaseId {
        let key = self.own_key("test.peer.");
        self.memory.lease_of(&key).expect("a registered peer")
    }

    fn own_key(&self, prefix: &str) -> String {
        let keys = self.memory.keys().into_iter();
        keys.into_iter()
            .find(|key| key.starts_with(prefix))
            .expect("a key of the session")
    }

    /// Returns the epoch key of a further lease.
    fn epoch_key(&self, lease: LeaseId) -> String {
        let suffix = format!(".{:x}", lease.0);
        let keys = self.memory.keys().into_iter();
        keys.into_iter()
            .find(|key| key.starts_with("test.epoch.") && key.ends_with(&suffix))
            .expect("an epoch key of the lease")
    }

    /// Asserts that the session is fenced within `bound`.
    async fn is_fenced(&self, bound: Duration) -> FenceReason {
        let fence = self.session.fence();
        let fenced = self.environment.timeout(bound, fence.fenced().cancelled());
        assert_eq!(fenced.await, Some(()), "the session was not fenced");
        assert!(!fence.admits());
        fence.reason().unwrap()
    }

    fn is_live(&self) -> bool {
        self.session.fence().admits() && !self.session.fence().is_fenced()
    }
}

#[tokio::test(start_paused = true)]
async fn names_are_spread_over_leases_and_leadership_stays_on_the_first() {
    let (world, held) = World::of(["a", "b", "c"]).await;
    let leases = [world.first(), world.lease("b"), world.lease("c")];
    assert_eq!(leases, [LeaseId(1), LeaseId(2), LeaseId(3)]);
    assert_eq!(world.lease("a"), leases[0]);
    assert_eq!(held.len(), NAMES * 3 - 2);
    // One more was granted before names need it.
    assert_eq!(world.memory.leases(), 4);
    for lease in &leases[1..] {
        let epoch = world.epoch_key(*lease);
        assert_eq!(world.memory.lease_of(&epoch), Some(*lease));
    }
    let leader = world.claim_at("leader", ClaimPlace::First).await.unwrap();
    assert_eq!(world.lease("leader"), leases[0]);
    // All leases are renewed, each in its turn.
    world.environment.sleep(TTL * 10).await;
    assert!(world.is_live());
    let World {
        memory, session, ..
    } = world;
    drop((held, leader));
    session.revoke().await;
    assert_eq!((memory.leases(), memory.keys().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_empty_takes_names_again() {
    let (world, mut held) = World::of(["a", "b"]).await;
    let granted = world.memory.leases();
    for round in 0..5 {
        held.drain(..);
        world.environment.sleep(MOMENT).await;
        for number in 0..2 * NAMES - 2 {
            let name = format!("again-{round}-{number}");
            held.push(world.claim(&name).await.unwrap());
        }
    }
    assert_eq!(world.memory.leases(), granted);
    assert!(world.is_live());
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_one_lease_ends_all_at_once() {
    for lost in ["a", "b", "c"] {
        let (world, _held) = World::of(["a", "b", "c"]).await;
        world.memory.revoke_lease(world.lease(lost));
        assert_eq!(
            world.is_fenced(MOMENT).await,
            FenceReason::KeyLost,
            "{lost}"
        );
        // Names are gone, so nothing has time to end in order.
        world.environment.sleep(MOMENT).await;
        assert!(world.session.fence().is_aborted(), "{lost}");
        let claim = world.claim("d").await.map(drop);
        assert_eq!(claim, Err(ClaimError::Fenced));
    }
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_a_lease_that_no_watch_reports_is_noticed_by_its_renewal() {
    for lost in ["a", "b", "c"] {
        let (world, _held) = World::of(["a", "b", "c"]).await;
        world.memory.mute_watches();
        world.memory.revoke_lease(world.lease(lost));
        let reason = world.is_fenced(TTL / 5 + MOMENT).await;
        assert_eq!(reason, FenceReason::LeaseLost, "{lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_an_epoch_key_of_a_further_lease_ends_all() {
    for (mute, bound) in [(false, MOMENT), (true, TTL / 2)] {
        for overwrite in [false, true] {
            let (world, _held) = World::of(["a", "b"]).await;
            let epoch = world.epoch_key(world.lease("b"));
            if mute {
                // Let it watch for a while, so that the time of the next read plays no part.
                world.environment.sleep(TTL * 7).await;
                world.memory.mute_watches();
            }
            match overwrite {
                true => world.memory.overwrite(&epoch, "another's"),
                false => assert!(world.memory.delete(&epoch)),
            }
            assert_eq!(world.is_fenced(bound).await, FenceReason::KeyLost);
            // The lease is still there, so its names are too.
            world.environment.sleep(MOMENT).await;
            assert!(!world.session.fence().is_aborted());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_a_key_is_lost_the_loss_of_any_lease_still_aborts() {
    // The lease of the lost key has no other key that is watched.
    for (lost, bound) in [("a", MOMENT), ("c", MOMENT), ("b", TTL / 3 + MOMENT)] {
        let (world, _held) = World::of(["a", "b", "c"]).await;
        let epoch = world.epoch_key(world.lease("b"));
        assert!(world.memory.delete(&epoch));
        assert_eq!(world.is_fenced(MOMENT).await, FenceReason::KeyLost);
        world.environment.sleep(MOMENT).await;
        assert!(!world.session.fence().is_aborted(), "{lost}");
        world.memory.revoke_lease(world.lease(lost));
        world.environment.sleep(bound).await;
        assert!(world.session.fence().is_aborted(), "{lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn claims_compare_the_epoch_of_their_own_lease() {
    let (world, mut held) = World::of(["a", "b"]).await;
    // The next claim goes under the lease of b.
    held.pop();
    world.environment.sleep(MOMENT).await;
    let lease = world.lease("b");
    world.memory.mute_watches();
    assert!(world.memory.delete(&world.epoch_key(lease)));
    let claim = world.claim("d").await.map(drop);
    assert_eq!(claim, Err(ClaimError::Fenced));
    assert_eq!(world.memory.lease_of(&key("d")), None);
    assert_eq!(world.session.fence().reason(), Some(FenceReason::KeyLost));
}

#[tokio::test(start_paused = true)]
async fn a_claim_under_way_whose_lease_is_lost_is_fenced() {
    for operation_done in [false, true] {
        let (world, mut held) = World::of(["a", "b"]).await;
        held.pop();
        world.environment.sleep(MOMENT).await;
        let lease = world.lease("b");
        world.memory.mute_watches();
        let fault = match operation_done {
            true => MemoryFault::DelayReply(SECOND),
            false => MemoryFault::Delay(SECOND),
        };
        world.memory.inject(MemoryOperation::Claim, fault);
        let (claim, ()) = tokio::join!(world.claim("d"), async {
            world.environment.sleep(SECOND / 2).await;
            world.memory.revoke_lease(lease);
        });
        let reason = world.is_fenced(TTL / 5 + MOMENT).await;
        match operation_done {
            // It was won, and then lost with its session.
            true => assert!(claim.is_ok() && reason == FenceReason::LeaseLost),
            false => {
                assert_eq!(claim.map(drop), Err(ClaimError::Fenced));
                assert_eq!(reason, FenceReason::KeyLost);
            }
        }
        assert_eq!(world.memory.lease_of(&key("d")), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_must_not_act_once_one_of_its_leases_may_be_gone() {
    let (world, _held) = World::of(["a", "b"]).await;
    world.memory.refuse_renewals_of(world.lease("b"));
    world.environment.sleep(SECOND * 8).await;
    assert!(world.is_live());
    // Only the lease of b has not been renewed for 10 s, and has not expired yet.
    world.simulation.jump(&world.environment, SECOND * 3);
    assert!(!world.session.fence().admits());
    assert_eq!(world.is_fenced(SECOND / 10).await, FenceReason::Deadline);
    assert_eq!(world.memory.lease_of(&key("a")), Some(world.first()));
    let claim = world.claim("d").await.map(drop);
    assert_eq!(claim, Err(ClaimError::Fenced));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_ends_all_before_it_expires() {
    let (world, _held) = World::of(["a", "b"]).await;
    let lease = world.lease("b");
    world.memory.refuse_renewals_of(lease);
    let begun = world.environment.now();
    assert_eq!(world.is_fenced(TTL).await, FenceReason::Deadline);
    assert!(world.environment.now().since(begun) <= TTL * 2 / 3);
    let aborted = world.session.fence().aborted().cancelled();
    assert_eq!(world.environment.timeout(TTL, aborted).await, Some(()));
    // Its names are still registered: nobody else has been able to take them.
    assert_eq!(world.lease("b"), lease);
}

/// Holds as many names as fit on the first lease, and then makes the grant of a further lease meet
/// faults: first the grant, and then the put of the epoch key.
async fn with_faults(grant: Option<MemoryFault>, put: Option<MemoryFault>) -> World {
    let world = World::with(NAMES).await;
    if let Some(fault) = grant {
        world.memory.inject(MemoryOperation::Grant, fault);
    }
    if let Some(fault) = put {
        // The claim of the name comes first.
        let none = MemoryFault::DelayReply(MOMENT);
        world.memory.inject(MemoryOperation::Claim, none);
        world.memory.inject(MemoryOperation::Claim, fault);
    }
    let held = world.claim("a").await.unwrap();
    let more = world.claim("b").await.unwrap();
    std::mem::forget((held, more));
    world
}

/// Claims two names that need a lease, while its grant meets a fault, and then another one.
async fn a_lease_is_granted_in_the_end(grant: Option<MemoryFault>, put: Option<MemoryFault>) {
    let what = format!("{grant:?} {put:?}");
    let world = with_faults(grant, put).await;
    let begun = world.environment.now();
    let (first, second) = tokio::join!(world.claim("c"), world.claim("d"));
    for claim in [first, second] {
        match (grant.or(put), claim) {
            // It had failed before the claims, which wait for the next grant.
            (
                Some(MemoryFault::Refuse | MemoryFault::FailReply | MemoryFault::ArriveLate(_)),
                claim,
            ) => assert!(claim.is_ok(), "{what}: {claim:?}"),
            (_, Err(ClaimError::Registry(error))) => {
                assert!(!error.may_have_executed(), "{what}: {error}");
            }
            (_, claim) => panic!("{what}: {claim:?}"),
        }
    }
    let took = world.environment.now().since(begun);
    assert!(took <= try_limit(TTL) + MOMENT, "{what}: {took:?}");
    assert!(world.is_live(), "{what}");
    // Until the names are released.
    world.environment.sleep(MOMENT).await;
    let _held = world.claim("e").await.unwrap();
    let took = world.environment.now().since(begun);
    assert!(took <= 5 * SECOND, "{what}: {took:?}");
    assert_ne!(world.lease("e"), world.first(), "{what}");
    // A lease that was granted without a reply, or whose epoch key was not confirmed, is not
    // renewed, and carries nothing.
    world.environment.sleep(TTL + 3 * SECOND).await;
    assert!(world.is_live(), "{what}");
    let lease = world.lease("e");
    assert_eq!(world.session.leases.kept(), 2, "{what}");
    assert!(world.session.leases.further().contains(&lease), "{what}");
    assert_eq!(world.memory.leases(), 3, "{what}");
    let World {
        memory, session, ..
    } = world;
    session.revoke().await;
    assert_eq!((memory.leases(), memory.keys().len()), (0, 0), "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_granted_is_requested_again() {
    use MemoryFault::{ArriveLate, Delay, DelayReply, FailReply, LoseReply, LoseRequest, Refuse};
    for fault in [
        Refuse,
        LoseRequest,
        LoseReply,
        FailReply,
        Delay(3 * SECOND),
        DelayReply(3 * SECOND),
        ArriveLate(SECOND / 2),
    ] {
        a_lease_is_granted_in_the_end(Some(fault), None).await;
        a_lease_is_granted_in_the_end(None, Some(fault)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn claims_are_refused_as_soon_as_it_is_clear_that_no_lease_is_granted() {
    let world = with_faults(None, Some(MemoryFault::LoseRequest)).await;
    // Whatever becomes of the lease whose epoch key was not confirmed.
    let lost = MemoryFault::LoseRequest;
    world.memory.inject(MemoryOperation::Revoke, lost);
    let begun = world.environment.now();
    assert!(world.claim("c").await.is_err());
    let took = world.environment.now().since(begun);
    assert!(took <= try_limit(TTL) + MOMENT, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_grants_nothing_is_not_asked_again_while_nothing_waits() {
    let world = with_faults(Some(MemoryFault::Refuse), None).await;
    world.memory.set_full(true);
    let granted = || world.memory.calls(MemoryOperation::Grant);
    let before = granted();
    world.environment.sleep(100 * SECOND).await;
    assert!(granted() - before <= 2, "{}", granted() - before);
    assert!(world.is_live());
    // A claim that waits for a lease asks again.
    let before = granted();
    assert!(world.claim("c").await.is_err());
    assert_eq!(granted(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn leases_that_are_not_used_are_forgotten() {
    let lost = MemoryFault::LoseRequest;
    let world = with_faults(None, Some(lost)).await;
    world.memory.inject(MemoryOperation::Claim, lost);
    for round in 0..20 {
        world.environment.sleep(3 * TTL).await;
        // The put of the epoch key of the lease that this claim waits for.
        world.memory.inject(MemoryOperation::Claim, lost);
        assert!(world.claim("c").await.is_err());
        let leases = &world.session.leases;
        assert!(leases.further().len() <= 2, "{round}: {leases:?}");
        assert_eq!(leases.kept(), 0);
    }
    assert_eq!(world.memory.leases(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_granted_slowly_is_renewed_before_it_is_used() {
    let slow = MemoryFault::DelayReply(SECOND * 19 / 10);
    for renews in [true, false] {
        let world = with_faults(Some(slow), None).await;
        // The put of the epoch key.
        world.memory.inject(MemoryOperation::Claim, slow);
        world.environment.sleep(3 * SECOND).await;
        let renewed = world.memory.calls(MemoryOperation::Renew);
        if !renews {
            let fault = MemoryFault::Refuse;
            world.memory.inject(MemoryOperation::Renew, fault);
        }
        assert_eq!(world.claim("c").await.is_ok(), renews);
        assert_eq!(world.memory.calls(MemoryOperation::Renew), renewed + 1);
        assert_eq!(world.session.leases.kept() > 0, renews);
        // The deadlines are no older than the last renewals.
        let hard = world.session.fence().hard();
        let left = hard.since(world.environment.now());
        assert!(left >= TTL - TTL / 10 - TTL / 5 - MOMENT, "{left:?}");
        assert!(world.is_live());
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_registry_refuses_claims_that_need_a_lease() {
    let world = with_faults(Some(MemoryFault::Refuse), None).await;
    world.memory.set_full(true);
    world.environment.sleep(2 * SECOND).await;
    let claim = world.claim("c").await.map(drop);
    let Err(ClaimError::Registry(error)) = claim else {
        panic!("{claim:?}");
    };
    assert_eq!(error.kind(), RegistryErrorKind::NoSpace);
    world.memory.set_full(false);
    world.environment.sleep(2 * SECOND).await;
    assert!(world.claim("c").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_while_a_lease_is_granted_leaves_nothing_behind() {
    let late = MemoryFault::Delay(SECOND);
    for (grant, put) in [(Some(late), None), (None, Some(late))] {
        let World {
            environment,
            memory,
            session,
            ..
        } = with_faults(grant, put).await;
        environment.sleep(SECOND / 2).await;
        session.revoke().await;
        assert_eq!((memory.leases(), memory.keys().len()), (0, 0));
        // A lease whose grant arrives later expires without a key.
        environment.sleep(2 * SECOND).await;
        assert_eq!(memory.keys().len(), 0);
        environment.sleep(TTL).await;
        assert_eq!(memory.leases(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn leases_are_revoked_in_turn_and_the_first_one_last() {
    let (world, held) = World::of(["a", "b", "c"]).await;
    let peer = world.own_key("test.peer.");
    let World {
        environment,
        memory,
        session,
        ..
    } = world;
    let leases = memory.leases();
    let time = Duration::from_millis(100);
    for _ in 0..leases {
        memory.inject(MemoryOperation::Revoke, MemoryFault::Delay(time));
    }
    drop(held);
    let watched = async {
        for revoked in 0..leases {
            environment.sleep(time / 2).await;
            // Never more than one at a time.
            assert_eq!(memory.leases(), leases - revoked);
            assert_eq!(memory.calls(MemoryOperation::Revoke), 1 + revoked as u64);
            assert!(memory.lease_of(&peer).is_some());
            environment.sleep(time / 2 + Duration::from_millis(3)).await;
        }
        assert_eq!((memory.leases(), memory.keys().len()), (0, 0));
    };
    tokio::join!(session.revoke(), watched);
}

#[tokio::test(start_paused = true)]
async fn a_slow_registry_keeps_the_first_lease_no_longer_than_the_head_start() {
    let (world, _held) = World::of(["a", "b", "c"]).await;
    let peer = world.own_key("test.peer.");
    let World {
        environment,
        memory,
        session,
        ..
    } = world;
    // The first revocation is not answered, and the others are slow.
    memory.inject(MemoryOperation::Revoke, MemoryFault::LoseRequest);
    for _ in 0..10 {
        let slow = MemoryFault::Delay(Duration::from_millis(200));
        memory.inject(MemoryOperation::Revoke, slow);
    }
    let watched = async {
        // The head start is 500 ms, and a revocation takes 200 ms.
        environment.sleep(Duration::from_millis(690)).await;
        assert!(memory.lease_of(&peer).is_some());
        environment.sleep(Duration::from_millis(20)).await;
        assert!(memory.lease_of(&peer).is_none());
        assert_eq!(memory.leases(), 3);
        environment.sleep(SECOND).await;
        assert_eq!((memory.leases(), memory.keys().len()), (0, 0));
    };
    tokio::join!(session.revoke(), watched);
}

#[tokio::test(start_paused = true)]
async fn the_leaders_claim_does_not_wait_behind_more_claims_than_the_session_takes() {
    let (world, _held) = World::of(["a"]).await;
    for _ in 0..10 {
        let slow = MemoryFault::Delay(SECOND);
        world.memory.inject(MemoryOperation::Grant, slow);
    }
    let world = &world;
    let waiting = (0..600).map(|number| async move { world.claim(&format!("w-{number}")).await });
    let mut waiting = std::pin::pin!(futures_util::future::join_all(waiting));
    // A task sends only so many in a turn.
    for _ in 0..10 {
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        world.environment.sleep(MOMENT).await;
    }
    let leader = world.claim_at("leader", ClaimPlace::First);
    let leader = world.environment.timeout(MOMENT, leader).await;
    assert!(leader.is_some_and(|leader| leader.is_ok()));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_runs_out_waits_for_every_lease() {
    let (world, _held) = World::of(["a", "b", "c"]).await;
    let World {
        environment,
        memory,
        session,
        ..
    } = world;
    let begun = environment.now();
    session.run_out().await;
    assert_eq!((memory.leases(), memory.keys().len()), (0, 0));
    assert!(environment.now().since(begun) <= TTL + 2 * SECOND);
}
