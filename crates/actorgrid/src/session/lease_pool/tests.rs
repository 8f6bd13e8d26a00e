//! Tests of the leases of a session: each rule, and random claims and releases.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const ANY: ClaimPlace = ClaimPlace::Any;
const FIRST: ClaimPlace = ClaimPlace::First;
const NOW: Duration = Duration::ZERO;

fn id(number: i64) -> LeaseId {
    LeaseId(number)
}

fn created() -> Revision {
    Revision::new(5)
}

/// Creates the leases of a session that has begun, for this many names each.
fn pool(names_per_lease: usize) -> LeasePool {
    let first = ClaimLease::first(id(0), created(), names_per_lease);
    LeasePool::new([first], names_per_lease)
}

/// Sends a claim, and returns its lease.
fn claim(pool: &mut LeasePool, names: usize, place: ClaimPlace) -> Option<LeaseId> {
    let lease = pool.place(names, place)?;
    lease.carry(names);
    Some(lease.id())
}

#[test]
fn a_claim_goes_under_the_first_lease_with_room() {
    let mut pool = pool(6);
    pool.added(id(1), created());
    assert_eq!(claim(&mut pool, 2, ANY), Some(id(0)));
    assert_eq!(claim(&mut pool, 1, ANY), Some(id(0)));
    assert_eq!(claim(&mut pool, 2, ANY), Some(id(1)));
    // One place is left on the first lease, apart from those that it keeps.
    assert_eq!(claim(&mut pool, 1, ANY), Some(id(0)));
    assert_eq!(claim(&mut pool, 2, ANY), Some(id(1)));
    assert_eq!(claim(&mut pool, 2, ANY), Some(id(1)));
    assert_eq!(claim(&mut pool, 1, ANY), None);
    assert!(!pool.has_room(1, ANY));
    // A lease that has become empty is used again.
    pool.get(id(0)).unwrap().drop_names(4);
    assert_eq!(claim(&mut pool, 2, ANY), Some(id(0)));
}

#[test]
fn a_claim_that_needs_the_first_lease_finds_room_there() {
    let mut pool = pool(4);
    pool.added(id(1), created());
    while claim(&mut pool, 1, ANY).is_some() {}
    assert!(pool.has_room(2, FIRST) && !pool.has_room(1, ANY));
    // It waits for a raise there, although others have room elsewhere.
    pool.added(id(2), created());
    pool.get(id(0)).unwrap().raise_begins();
    assert_eq!(claim(&mut pool, 2, FIRST), None);
    assert!(pool.has_room(2, FIRST));
    assert_eq!(claim(&mut pool, 2, ANY), Some(id(2)));
    pool.get(id(0)).unwrap().raise_ends();
    assert_eq!(claim(&mut pool, 2, FIRST), Some(id(0)));
    // A second one would wait until the names of the first one are released.
    assert!(!pool.has_room(1, FIRST) && pool.has_room(2, ANY));
    assert_eq!(claim(&mut pool, 1, FIRST), None);
}

#[test]
fn a_raise_of_one_lease_holds_up_no_claim_of_another() {
    let mut pool = pool(4);
    pool.added(id(1), created());
    pool.get(id(0)).unwrap().raise_begins();
    assert_eq!(claim(&mut pool, 1, ANY), Some(id(1)));
    pool.get(id(1)).unwrap().raise_begins();
    assert_eq!(claim(&mut pool, 1, ANY), None);
    assert!(pool.has_room(1, ANY));
    assert!(pool.get(id(2)).is_none());
    assert_eq!(pool.iter_mut().count(), 2);
}

#[test]
fn a_lease_is_requested_before_it_is_needed_and_once() {
    let mut pool = pool(10);
    assert_eq!(pool.request(3), None);
    assert_eq!(claim(&mut pool, 2, ANY), Some(id(0)));
    // Six places are left, and half a lease is to be.
    assert_eq!(pool.request(1), None);
    assert_eq!(pool.request(2), Some(NOW));
    assert_eq!(pool.request(99), None);
    // From then on, a whole lease is to be.
    pool.added(id(1), created());
    assert_eq!(pool.request(6), None);
    assert_eq!(pool.request(7), Some(NOW));
}

#[test]
fn a_request_that_failed_is_repeated_after_a_pause_and_more_seldom_if_nothing_waits() {
    let mut pool = pool(10);
    assert_eq!(pool.request(9), Some(NOW));
    // Each failure halves what is to be spare beyond eight places.
    for waits in [7, 8, 9, 9, 9] {
        pool.refused();
        assert_eq!(pool.request(waits - 1), None);
        assert_eq!(pool.request(waits), Some(Duration::from_secs(1)));
    }
    for _ in 0..100 {
        pool.refused();
        assert_eq!(pool.request(8), None);
    }
    assert_eq!(pool.request(9), Some(REQUEST_PAUSE));
    pool.added(id(1), created());
    assert_eq!(pool.request(8), None);
    assert_eq!(pool.request(9), Some(NOW));
}

#[test]
fn places_that_no_claim_of_two_names_can_use_are_not_spare() {
    let mut pool = pool(5);
    for number in 1..9 {
        pool.added(id(number), created());
    }
    while claim(&mut pool, 2, ANY).is_some() {}
    // A place is left on each lease.
    assert!(pool.has_room(1, ANY) && !pool.has_room(2, ANY));
    assert_eq!(pool.request(0), Some(NOW));
}

#[test]
fn a_lease_without_room_for_one_claim_is_a_defect() {
    assert!(std::panic::catch_unwind(|| pool(1)).is_err());
    assert_eq!(pool(2).request(1), Some(NOW));
}

#[derive(Debug, Clone)]
enum PoolStep {
    Claim(usize, bool),
    Release(prop::sample::Index),
    Granted(bool),
    Raise(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<PoolStep>> {
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        6 => (1..=MAX_NAMES, prop::bool::weighted(0.1))
            .prop_map(|(names, first)| PoolStep::Claim(names, first)),
        2 => index().prop_map(PoolStep::Release),
        1 => prop::bool::weighted(0.7).prop_map(PoolStep::Granted),
        1 => index().prop_map(PoolStep::Raise),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// No lease carries more than its names, none is requested twice or without need, and a claim
    /// that finds no room is always followed by a lease.
    #[test]
    fn claims_find_room_sooner_or_later(names_per_lease in 2..9_usize, steps in steps()) {
        let mut pool = pool(names_per_lease);
        let mut waiting = VecDeque::new();
        // The names of the claim that waits for the first lease.
        let mut first = None;
        let mut held: Vec<(LeaseId, usize, ClaimPlace)> = Vec::new();
        let mut requested = false;
        let mut granted = 0;
        for step in steps {
            match step {
                PoolStep::Claim(names, leads) => {
                    // There is one claim of the first lease at a time.
                    let led = first.is_some() || held.iter().any(|(_, _, place)| *place == FIRST);
                    match leads && !led {
                        true => first = Some(names),
                        false => waiting.push_back(names),
                    }
                }
                PoolStep::Release(index) if !held.is_empty() => {
                    let (lease, names, _) = held.swap_remove(index.index(held.len()));
                    pool.get(lease).unwrap().drop_names(names);
                }
                PoolStep::Raise(index) => {
                    let lease = pool.get(id(index.index(granted + 1) as i64)).unwrap();
                    match lease.is_raising() {
                        true => lease.raise_ends(),
                        false => lease.raise_begins(),
                    }
                }
                PoolStep::Granted(true) if requested => {
                    granted += 1;
                    pool.added(id(granted as i64), created());
                    requested = false;
                }
                PoolStep::Granted(false) if requested => {
                    pool.refused();
                    requested = false;
                }
                PoolStep::Release(_) | PoolStep::Granted(_) => {}
            }
            if let Some(names) = first
                && let Some(lease) = claim(&mut pool, names, FIRST)
            {
                prop_assert_eq!(lease, id(0));
                held.push((lease, names, FIRST));
                first = None;
            }
            while let Some(&names) = waiting.front()
                && let Some(lease) = claim(&mut pool, names, ANY)
            {
                held.push((lease, names, ANY));
                waiting.pop_front();
            }
            let needed = waiting.iter().sum::<usize>() + first.unwrap_or(0);
            let spare = pool.spare();
            if pool.request(needed).is_some() {
                prop_assert!(!requested, "requested twice");
                prop_assert!(spare < needed + names_per_lease, "requested without need");
                requested = true;
            }
            for lease in 0..=granted {
                let on = |held: &&(LeaseId, usize, ClaimPlace)| held.0 == id(lease as i64);
                let carried: usize = held.iter().filter(on).map(|held| held.1).sum();
                prop_assert!(carried <= names_per_lease);
                let lease = pool.get(id(lease as i64)).unwrap();
                prop_assert_eq!(lease.room(FIRST), names_per_lease - carried);
            }
            if let Some(names) = first {
                prop_assert!(pool.has_room(names, FIRST));
                prop_assert!(pool.get(id(0)).unwrap().is_raising(), "it waits for nothing");
            }
            if let Some(&names) = waiting.front() {
                let waits_for_a_raise = pool.has_room(names, ANY);
                prop_assert!(waits_for_a_raise || requested, "a claim waits for nothing");
            }
        }
    }
}
