//! Charges and tickets at the limits of connections, sources and the peer.

use std::pin::{Pin, pin};

use futures_util::{FutureExt as _, poll};

use super::*;
use crate::route::budget::byte_budget::{BudgetUse, ByteBudget};

const WINDOW: usize = 10;

/// The future of a ticket.
type Waiting = Pin<Box<dyn Future<Output = Result<Charge, BudgetFull>>>>;

/// 1,000 bytes in total, 500 per source, 400 per connection; tickets fill three quarters of each.
fn budget() -> ByteBudget {
    ByteBudget::new(BudgetLimits {
        total: 1_000,
        per_connection: 400,
    })
}

fn used(budget: &ByteBudget) -> (usize, usize) {
    let BudgetUse { queued, arriving } = budget.current();
    (queued, arriving)
}

#[test]
fn a_charge_is_released_when_it_is_dropped() {
    let budget = budget();
    let connection = budget.connection(None);
    let charge = connection.charge(400).unwrap();
    assert_eq!(connection.charge(1).err(), Some(BudgetFull));
    assert_eq!(used(&budget), (400, 0));
    assert!(budget.connection(None).charge(400).is_ok());
    drop(charge);
    assert!(connection.charge(400).is_ok());
    assert_eq!(used(&budget), (0, 0));
    assert!(budget.peak() >= 400);
}

#[test]
fn a_connection_is_crowded_until_there_is_room_for_what_was_rejected() {
    let budget = budget();
    let connection = budget.connection(None);
    let large = connection.charge(300).unwrap();
    assert!(!connection.is_crowded());
    assert_eq!(connection.charge(200).err(), Some(BudgetFull));
    assert!(connection.is_crowded());
    // Small ones are still charged, and others are not concerned.
    assert!(connection.charge(50).is_ok());
    assert!(connection.is_crowded() && !budget.connection(None).is_crowded());
    drop(large);
    assert!(!connection.is_crowded());
}

#[test]
fn a_source_leaves_half_to_the_others() {
    let budget = budget();
    let source = budget.source();
    let connections: Vec<_> = (0..3).map(|_| budget.connection(Some(&source))).collect();
    let held: Vec<_> = connections
        .iter()
        .filter_map(|connection| connection.charge(250).ok())
        .collect();
    assert_eq!(held.len(), 2);
    // A charge that one level rejected is not kept at another.
    assert!(budget.connection(None).charge(400).is_ok());
    assert_eq!(used(&budget), (500, 0));
}

#[test]
fn sources_that_take_all_they_can_leave_room_for_another() {
    let budget = ByteBudget::new(BudgetLimits {
        total: 100_000,
        per_connection: 50_000,
    });
    let mut held = Vec::new();
    for sources in 1..=9 {
        let connection = budget.connection(Some(&budget.source()));
        let mut own = 0;
        while let Ok(charge) = connection.charge(100) {
            held.push(charge);
            own += 100;
        }
        let free = 100_000 - used(&budget).0;
        assert!(own <= free + 100, "{sources} sources: {own} of {free}");
        assert!(own >= 100_000 >> (sources + 1), "{sources} sources: {own}");
    }
}

#[test]
fn a_charge_grows_as_far_as_there_is_room() {
    let budget = budget();
    let connection = budget.connection(None);
    let mut charge = connection.charge_arriving(100).unwrap();
    charge.extend(200).unwrap();
    assert_eq!(used(&budget), (0, 300));
    assert_eq!(charge.extend(101), Err(BudgetFull));
    charge.arrived();
    assert_eq!(used(&budget), (300, 0));
    charge.resize(50).unwrap();
    assert_eq!(used(&budget), (50, 0));
    charge.resize(400).unwrap();
    assert_eq!(charge.resize(401), Err(BudgetFull));
    assert_eq!(used(&budget), (400, 0));
    drop(charge);
    assert_eq!(used(&budget), (0, 0));
}

#[tokio::test]
async fn tickets_leave_a_quarter_to_small_messages() {
    let budget = budget();
    let connection = budget.connection(None);
    let ticket = connection.ticket(300, WINDOW).await.unwrap();
    assert_eq!(used(&budget), (0, 300));
    let small = connection.charge(100).unwrap();
    assert_eq!(connection.charge(1).err(), Some(BudgetFull));
    drop((ticket, small));
}

#[tokio::test]
async fn a_message_waits_for_room_that_arriving_messages_hold() {
    let budget = budget();
    let connection = budget.connection(None);
    let first = connection.ticket(200, WINDOW).await.unwrap();
    let mut second = pin!(connection.ticket(200, WINDOW));
    assert!(poll!(&mut second).is_pending());
    // A later message does not overtake, though there would be room for it.
    let mut third = pin!(connection.ticket(100, WINDOW));
    assert!(poll!(&mut third).is_pending());
    drop(first);
    let second = second.now_or_never().unwrap().unwrap();
    assert!(third.now_or_never().unwrap().is_ok());
    drop(second);
    assert_eq!(used(&budget), (0, 0));
}

#[tokio::test]
async fn departures_show_whether_queued_messages_hold_a_message_up() {
    let budget = budget();
    let connection = budget.connection(None);
    let mut first = connection.ticket(200, WINDOW).await.unwrap();
    let mut second = pin!(connection.ticket(200, WINDOW));
    assert!(poll!(&mut second).is_pending());
    assert_eq!(connection.departures_before(200), None, "still arriving");
    first.arrived();
    assert_eq!(connection.departures_before(100), None, "there is room");
    assert_eq!(connection.departures_before(200), Some(0));
    assert_eq!(budget.connection(None).departures_before(200), None);
    let small = connection.charge(50).unwrap();
    drop(connection.charge(50).unwrap());
    assert_eq!(connection.departures_before(200), Some(1));
    drop((first, small));
    assert!(second.now_or_never().unwrap().is_ok());

    let whole = connection.charge(400).unwrap();
    assert!(connection.is_full_of_queued());
    assert!(!budget.connection(None).is_full_of_queued());
    assert_eq!(used(&budget), (400, 0));
    drop(whole);
}

#[tokio::test]
async fn only_queued_messages_of_others_are_not_worth_waiting_for() {
    let budget = budget();
    let (source, other) = (budget.source(), budget.source());
    let connection = budget.connection(Some(&source));
    let others: Vec<_> = (0..2).map(|_| budget.connection(Some(&other))).collect();
    let mut held = Vec::new();
    for other in &others {
        // Small messages: they need no tickets.
        held.push(other.charge_arriving(240).unwrap());
    }
    held.push(budget.connection(None).charge_arriving(300).unwrap());
    // 220 are free: this source may use half of them, and three quarters of that with tickets.
    assert!(connection.ticket(200, WINDOW).now_or_never().is_none());
    assert_eq!(connection.departures_before(200), None, "still arriving");
    held.iter_mut().for_each(Charge::arrived);
    assert_eq!(connection.departures_before(200), Some(0));
    assert_eq!(connection.departures_before(80), None, "there is room");
    let small = budget.connection(None).charge(10).unwrap();
    drop(small);
    assert!(connection.departures_before(200) > Some(0), "others leave");
    drop(held);
    assert_eq!(connection.departures_before(200), None);
}

#[tokio::test]
async fn room_is_contended_only_where_another_connection_waits_for_it() {
    let budget = budget();
    let (source, other_source) = (budget.source(), budget.source());
    let connection = budget.connection(Some(&source));
    let same = budget.connection(Some(&source));
    let other = budget.connection(Some(&other_source));
    let ticket = connection.ticket(300, WINDOW).await.unwrap();
    let mut own = Box::pin(connection.ticket(300, WINDOW));
    assert!(poll!(&mut own).is_pending());
    assert!(!connection.is_contended(100), "it waits for itself");
    let mut second = Box::pin(same.ticket(300, WINDOW));
    assert!(poll!(&mut second).is_pending());
    assert!(connection.is_contended(100));
    assert!(!other.is_contended(100), "nobody waits for its source");
    drop((ticket, own, second));
    assert!(!connection.is_contended(100));
}

#[tokio::test]
async fn a_cancelled_wait_makes_way() {
    let budget = budget();
    let connection = budget.connection(None);
    let first = connection.ticket(200, WINDOW).await.unwrap();
    let mut second = Box::pin(connection.ticket(300, WINDOW));
    let mut third = pin!(connection.ticket(100, WINDOW));
    assert!(poll!(&mut second).is_pending());
    assert!(poll!(&mut third).is_pending());
    drop(second);
    assert!(third.now_or_never().unwrap().is_ok());
    drop(first);
    assert_eq!(used(&budget), (0, 0));
}

#[tokio::test]
async fn a_ticket_that_nobody_takes_is_released() {
    let budget = budget();
    let connection = budget.connection(None);
    let first = connection.ticket(300, WINDOW).await.unwrap();
    let mut second = Box::pin(connection.ticket(300, WINDOW));
    assert!(poll!(&mut second).is_pending());
    drop(first);
    assert_eq!(used(&budget), (0, 300));
    drop(second);
    assert_eq!(used(&budget), (0, 0));
}

#[tokio::test]
async fn waiting_messages_are_bounded() {
    let budget = budget();
    let source = budget.source();
    let connection = budget.connection(Some(&source));
    let _first = connection.ticket(300, WINDOW).await.unwrap();
    // A quarter of the budget for all, half of that for a source: 12 windows of 10 bytes.
    let mut waiting: Vec<_> = (0..13)
        .map(|_| Box::pin(connection.ticket(300, WINDOW)))
        .collect();
    let mut rejected = 0;
    for ticket in &mut waiting {
        rejected += usize::from(poll!(ticket).is_ready());
    }
    assert_eq!(rejected, 1);
    let other = budget.connection(Some(&budget.source()));
    assert!(other.ticket(300, WINDOW).now_or_never().unwrap().is_ok());
    // 13 windows of the quarter are left for a proxy, which no source bounds.
    let proxied = budget.connection(None);
    let _held = proxied.ticket(300, WINDOW).await.unwrap();
    let mut waiting: Vec<_> = (0..14)
        .map(|_| Box::pin(proxied.ticket(300, WINDOW)))
        .collect();
    let rejected = waiting
        .iter_mut()
        .filter_map(|ticket| ticket.now_or_never());
    assert_eq!(rejected.count(), 1);
}

#[tokio::test]
async fn waiting_sources_leave_a_place_for_another() {
    let budget = budget();
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(budget.connection(None).ticket(230, WINDOW).await.unwrap());
    }
    // There are 25 windows; a source gets at most 12 of them.
    let mut waiting: Vec<Vec<Waiting>> = Vec::new();
    for _ in 0..5 {
        let connection = budget.connection(Some(&budget.source()));
        let mut own = Vec::new();
        for _ in 0..13 {
            let connection = connection.clone();
            let mut ticket: Waiting = Box::pin(async move { connection.ticket(300, WINDOW).await });
            if poll!(&mut ticket).is_pending() {
                own.push(ticket);
            }
            for tickets in &mut waiting {
                // The displaced messages get an error.
                tickets.retain_mut(|ticket| ticket.now_or_never().is_none());
            }
        }
        waiting.push(own);
    }
    let places: Vec<_> = waiting.iter().map(Vec::len).collect();
    assert_eq!(places.iter().sum::<usize>(), 25);
    assert!(
        places.iter().all(|places| (4..=7).contains(places)),
        "{places:?}"
    );
}

#[tokio::test]
async fn tickets_of_many_sources_crowd_nobody_else() {
    let budget = ByteBudget::new(BudgetLimits {
        total: 100_000,
        per_connection: 50_000,
    });
    let mut held = Vec::new();
    for _ in 0..30 {
        let connection = budget.connection(Some(&budget.source()));
        while let Some(Ok(ticket)) = connection.ticket(100, WINDOW).now_or_never() {
            held.push(ticket);
        }
    }
    let others = budget.connection(Some(&budget.source()));
    assert!(!others.is_crowded(), "{:?} used", budget.current());
    assert!(others.charge(1_000).is_ok());
}

#[tokio::test]
async fn the_peer_is_bounded_in_order_of_arrival() {
    let budget = budget();
    let connections: Vec<_> = (0..5).map(|_| budget.connection(None)).collect();
    let mut held = Vec::new();
    for connection in &connections[..3] {
        held.push(connection.ticket(300, WINDOW).await.unwrap());
    }
    let mut fourth = pin!(connections[3].ticket(300, WINDOW));
    let mut fifth = pin!(connections[4].ticket(30, WINDOW));
    assert!(poll!(&mut fourth).is_pending());
    assert!(poll!(&mut fifth).is_pending());
    held.pop();
    assert!(fourth.now_or_never().unwrap().is_ok());
    assert!(fifth.now_or_never().unwrap().is_ok());
}
