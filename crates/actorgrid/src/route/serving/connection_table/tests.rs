//! Limits, shares and victims.

use std::time::Duration;

use super::*;
use crate::environment::Timestamp;
use crate::route::budget::{BudgetLimits, ByteBudget};
use crate::route::serving::control_budget::PeerControlBudget;

const A: Source = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));
const B: Source = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));
const C: Source = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3)));

struct Filled {
    table: ConnectionTable,
    budget: ByteBudget,
}

impl Filled {
    fn new(limit: usize) -> Self {
        let limits = BudgetLimits {
            total: 100,
            per_connection: 100,
        };
        Self {
            table: ConnectionTable::new(limit),
            budget: ByteBudget::new(limits),
        }
    }

    fn add(&mut self, source: Source, activity: ConnectionActivity) -> ConnectionId {
        let shares = || SourceShares {
            control: PeerControlBudget::new().source(Timestamp::ZERO),
            received: self.budget.source(),
            under_way: self.budget.source(),
            replies: self.budget.source(),
        };
        let evicted = CancellationToken::new();
        self.table
            .add(source, Arc::new(activity), evicted, shares)
            .0
    }

    fn add_all<const N: usize>(
        &mut self,
        source: Source,
        activity: fn() -> ConnectionActivity,
    ) -> [ConnectionId; N] {
        std::array::from_fn(|_| self.add(source, activity()))
    }
}

fn silent(millis: u64) -> ConnectionActivity {
    ConnectionActivity::new(Timestamp::ZERO + Duration::from_millis(millis))
}

fn idle(millis: u64) -> ConnectionActivity {
    let activity = silent(millis);
    activity.greet();
    activity
}

fn busy() -> ConnectionActivity {
    let activity = idle(0);
    activity.set_streams(1);
    activity
}

#[test]
fn a_source_has_at_most_half_of_the_connections() {
    let mut filled = Filled::new(5);
    filled.add_all::<3>(A, busy);
    assert_eq!(filled.table.arrive(A, false), Arrival::Refuse);
    assert_eq!(filled.table.arrive(A, true), Arrival::Accept);
    assert_eq!(filled.table.arrive(B, false), Arrival::Accept);
}

#[test]
fn a_source_at_its_half_makes_room_for_itself() {
    let mut filled = Filled::new(4);
    let other = filled.add(B, silent(0));
    let [first, _] = [filled.add(A, silent(1)), filled.add(A, silent(2))];
    assert_eq!(filled.table.arrive(A, false), Arrival::AcceptFor(first));
    assert_ne!(first, other);
}

#[test]
fn the_source_with_most_connections_makes_room_for_others() {
    let mut filled = Filled::new(5);
    let [_, _] = filled.add_all(B, || silent(0));
    let [first, _, _] = filled.add_all(A, || idle(9));
    assert_eq!(filled.table.arrive(C, false), Arrival::AcceptFor(first));
    assert_eq!(filled.table.victim(), Some(first));
}

#[test]
fn the_silent_go_before_the_idle_and_the_oldest_first_and_the_busy_stay() {
    let mut filled = Filled::new(10);
    filled.add(A, busy());
    let idle_later = filled.add(A, idle(7));
    let idle_first = filled.add(A, idle(6));
    let silent_later = filled.add(A, silent(9));
    let silent_first = filled.add(A, silent(8));
    for expected in [silent_first, silent_later, idle_first, idle_later] {
        let victim = filled.table.victim().unwrap();
        assert_eq!(victim, expected);
        filled.table.evict(victim);
    }
    assert_eq!(filled.table.victim(), None);
}

#[test]
fn if_all_are_in_use_a_source_with_many_more_loses_one() {
    let mut filled = Filled::new(12);
    let [oldest, ..] = filled.add_all::<6>(A, busy);
    filled.add_all::<3>(B, busy);
    filled.add_all::<3>(C, busy);
    assert_eq!(filled.table.victim(), None);
    let other = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 4)));
    assert_eq!(
        filled.table.arrive(other, false),
        Arrival::AcceptFor(oldest)
    );
    assert_eq!(filled.table.arrive(B, false), Arrival::Refuse);
    // An unused connection of another source is closed first.
    let mut filled = Filled::new(12);
    filled.add_all::<6>(A, busy);
    let [idle_one] = filled.add_all::<1>(B, || idle(0));
    filled.add_all::<5>(C, busy);
    assert_eq!(
        filled.table.arrive(other, false),
        Arrival::AcceptFor(idle_one)
    );
}

#[test]
fn a_crowd_takes_no_idle_connection_from_a_source_with_few() {
    let mut filled = Filled::new(12);
    filled.add_all::<5>(A, busy);
    filled.add_all::<6>(C, busy);
    let [idle_one] = filled.add_all::<1>(B, || idle(0));
    for crowd in [A, C] {
        assert_eq!(filled.table.arrive(crowd, false), Arrival::Refuse);
    }
    assert_eq!(filled.table.victim(), None);
    // A crowd makes room for itself; a newcomer may have the idle one.
    let [idle_other] = filled.add_all::<1>(A, || idle(1));
    assert_eq!(
        filled.table.arrive(A, false),
        Arrival::AcceptFor(idle_other)
    );
    let other = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 4)));
    filled.table.evict(idle_other);
    assert_eq!(
        filled.table.arrive(other, false),
        Arrival::AcceptFor(idle_one)
    );
}

#[test]
fn a_closing_connection_no_longer_counts_and_is_closed_once() {
    let mut filled = Filled::new(2);
    let only = filled.add(A, silent(0));
    assert_eq!(filled.table.arrive(A, false), Arrival::AcceptFor(only));
    filled.table.evict(only);
    filled.table.evict(only);
    assert_eq!(filled.table.arrive(A, false), Arrival::Accept);
    filled.table.remove(only);
    filled.table.remove(only);
    assert_eq!(filled.table.len(), 0);
    assert!(filled.table.sources.is_empty());
}

#[test]
fn the_number_of_closing_connections_is_bounded() {
    let mut filled = Filled::new(4 * MAX_CLOSING_PER_SOURCE);
    for _ in 0..2 * MAX_CLOSING_PER_SOURCE {
        filled.add(A, silent(0));
    }
    for _ in 0..MAX_CLOSING_PER_SOURCE {
        let Arrival::AcceptFor(victim) = filled.table.arrive(A, false) else {
            panic!("no victim");
        };
        filled.table.evict(victim);
        filled.add(A, silent(1));
    }
    assert_eq!(filled.table.arrive(A, false), Arrival::Refuse);
    // That is no reason to reject others.
    let [idle_one] = filled.add_all::<1>(B, || idle(0));
    for _ in filled.table.len()..filled.table.limit {
        filled.add(B, busy());
    }
    assert_eq!(filled.table.arrive(C, false), Arrival::AcceptFor(idle_one));
}

#[test]
fn an_ipv6_source_is_the_first_half_of_the_address() {
    let source = |text: &str| source_of(text.parse().unwrap()).to_string();
    assert_eq!(source("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(source("::ffff:10.0.0.1"), "10.0.0.1");
    assert_eq!(source("10.0.0.1"), "10.0.0.1");
    assert_eq!(source("::1"), "::1");
}
