//! Property tests of the claim scheduler against a small model registry that rejects requests,
//! loses requests and replies, carries requests out late, and answers in any order.

mod model_registry;

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::model_registry::{FIRST, ModelRegistry, entry};
use super::*;
use crate::registry::{RegistryErrorKind, carries, value_with_nonce};
use crate::session::ClaimPlace;

/// The capacity of each lease.
const CAPACITY: usize = 4;
/// The key that needs the first lease.
const LEADER: &str = "k0";
/// The nonce of registrations that are not ours.
const RIVAL: u64 = u64::MAX;

/// The fate of a request.
#[derive(Debug, Clone, Copy)]
enum ModelDelivery {
    Answered,
    Rejected,
    RequestLost,
    ReplyLost,
    CarriedOutLate,
    /// The storage is full.
    NoSpace,
}

#[derive(Debug, Clone)]
enum ModelStep {
    /// Claims that arrive together, of names with these numbers.
    Order(Vec<Vec<u8>>),
    /// A request under way is delivered, or fails.
    Deliver(prop::sample::Index, ModelDelivery),
    /// A request that was presumed lost reaches the registry.
    Arrive(prop::sample::Index),
    GiveUp(prop::sample::Index),
    /// The waiter of an unanswered order stops waiting.
    Leave(prop::sample::Index),
    /// Another peer takes a name, or frees it.
    Rival(u8),
    /// The lease that was requested is granted, or not, for this reason.
    Grant(Option<RegistryErrorKind>),
    LoseLease(prop::sample::Index),
    LoseEpoch(prop::sample::Index),
    /// The registry is restored to the state after an earlier step.
    Restore(prop::sample::Index),
    End,
}

/// A session, its registry, and the network between them.
struct ModelSession {
    scheduler: ClaimScheduler<u64, u64>,
    registry: ModelRegistry,
    /// The states of the registry: initially, and after each step.
    snapshots: Vec<ModelRegistry>,
    under_way: Vec<ClaimExchange>,
    late: Vec<ClaimExchange>,
    orders: u64,
    /// The orders that are not answered yet.
    open: BTreeSet<u64>,
    /// The orders whose waiters were answered that they are in doubt.
    doubtful: BTreeSet<u64>,
    /// The unanswered orders whose waiters have gone.
    gone: BTreeSet<u64>,
    /// The names that are reserved on this peer, and the order that reserves each.
    reserved: BTreeMap<String, u64>,
    held: Vec<ClaimedNames<u64>>,
    /// Whether a further lease is requested.
    requested: bool,
    /// Whether a lease or an epoch was lost, the registry was restored, or the session was ended.
    over: bool,
    fenced: bool,
}

impl ModelSession {
    fn new() -> Self {
        let registry = ModelRegistry::new();
        let first = ClaimLease::first(FIRST, registry.epochs[&FIRST].created, CAPACITY);
        Self {
            scheduler: ClaimScheduler::new(LeasePool::new([first], CAPACITY)),
            snapshots: vec![registry.clone()],
            registry,
            under_way: Vec::new(),
            late: Vec::new(),
            orders: 0,
            open: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            gone: BTreeSet::new(),
            reserved: BTreeMap::new(),
            held: Vec::new(),
            requested: false,
            over: false,
            fenced: false,
        }
    }

    fn step(&mut self, step: ModelStep) {
        match step {
            ModelStep::Order(orders) => self.order(orders),
            ModelStep::Deliver(index, delivery) => {
                if !self.under_way.is_empty() {
                    let exchange = self
                        .under_way
                        .swap_remove(index.index(self.under_way.len()));
                    self.deliver(exchange, delivery);
                }
            }
            ModelStep::Arrive(index) => {
                if !self.late.is_empty() {
                    let exchange = self.late.swap_remove(index.index(self.late.len()));
                    self.registry.carry_out(&exchange);
                }
            }
            ModelStep::GiveUp(index) => {
                if !self.held.is_empty() {
                    let names = self.held.swap_remove(index.index(self.held.len()));
                    self.handle(ClaimEvent::GivenUp(names));
                }
            }
            ModelStep::Leave(index) => {
                if !self.open.is_empty() {
                    let number = self.open.iter().nth(index.index(self.open.len()));
                    self.gone.extend(number);
                }
            }
            ModelStep::Rival(name) => self.rival(name),
            ModelStep::Grant(refused) => self.grant(refused),
            ModelStep::LoseLease(index) => {
                self.over = true;
                let lease = self.registry.any_lease(index);
                self.registry.lose_lease(lease);
            }
            ModelStep::LoseEpoch(index) => {
                self.over = true;
                let lease = self.registry.any_lease(index);
                self.registry.epochs.remove(&lease);
            }
            ModelStep::Restore(index) => {
                self.over = true;
                let nonces = std::mem::take(&mut self.registry.nonces);
                let last_lease = self.registry.last_lease;
                self.registry = index.get(&self.snapshots).clone();
                self.registry.nonces = nonces;
                // Ids of leases are random, so none recurs.
                self.registry.last_lease = last_lease;
                self.registry.restored = true;
            }
            ModelStep::End => {
                self.over = true;
                self.fenced = true;
                self.handle(ClaimEvent::Ended);
            }
        }
        self.check();
        self.snapshots.push(self.registry.clone());
    }

    fn order(&mut self, orders: Vec<Vec<u8>>) {
        let mut ordered = Vec::new();
        for names in orders {
            let keys: BTreeSet<String> = names.iter().map(|name| format!("k{name}")).collect();
            if keys.iter().any(|key| self.reserved.contains_key(key)) {
                continue;
            }
            let number = self.orders;
            self.orders += 1;
            self.open.insert(number);
            for key in &keys {
                self.reserved.insert(key.clone(), number);
            }
            let value = value_with_nonce(number);
            self.registry.nonces.insert(value.clone(), number);
            ordered.push(ClaimOrder {
                nonce: number,
                place: match keys.contains(LEADER) {
                    true => ClaimPlace::First,
                    false => ClaimPlace::Any,
                },
                puts: keys.into_iter().map(|key| (key, value.clone())).collect(),
                waiter: number,
                reservation: number,
            });
        }
        self.handle(ClaimEvent::Ordered(ordered));
    }

    /// Answers the request for a further lease.
    fn grant(&mut self, refused: Option<RegistryErrorKind>) {
        if !std::mem::take(&mut self.requested) {
            return;
        }
        let event = if let Some(kind) = refused {
            ClaimEvent::LeaseRefused(RegistryError::new(kind, ""))
        } else {
            let (lease, epoch_created) = self.registry.grant();
            ClaimEvent::LeaseAdded {
                lease,
                epoch_created,
            }
        };
        self.handle(event);
    }

    fn rival(&mut self, name: u8) {
        let key = format!("k{name}");
        match self.registry.keys.get(&key) {
            Some(entry) if entry.lease.is_none() => {
                self.registry.advance();
                self.registry.keys.remove(&key);
            }
            Some(_) => {}
            None => {
                let at = self.registry.advance();
                let mut put = entry(&key, RIVAL, at, LeaseId(0));
                put.lease = None;
                self.registry.keys.insert(key, put);
            }
        }
    }

    fn deliver(&mut self, exchange: ClaimExchange, delivery: ModelDelivery) {
        let kind = match delivery {
            ModelDelivery::Answered => {
                let answer = self.registry.carry_out(&exchange);
                return self.handle(answer);
            }
            ModelDelivery::Rejected => RegistryErrorKind::Unavailable,
            ModelDelivery::NoSpace => {
                if let ClaimExchange::Raise { lease } = &exchange
                    && let Some(epoch) = self.registry.epochs.get(lease)
                {
                    let result = Ok(RaiseOutcome::NoSpace {
                        modified: epoch.modified,
                        error: RegistryError::new(RegistryErrorKind::NoSpace, ""),
                    });
                    let lease = *lease;
                    return self.handle(ClaimEvent::Raised { lease, result });
                }
                RegistryErrorKind::NoSpace
            }
            ModelDelivery::RequestLost => RegistryErrorKind::Unknown,
            ModelDelivery::ReplyLost => {
                self.registry.carry_out(&exchange);
                RegistryErrorKind::Unknown
            }
            ModelDelivery::CarriedOutLate => {
                self.late.push(exchange.clone());
                RegistryErrorKind::Unknown
            }
        };
        let error = RegistryError::new(kind, "");
        self.handle(match exchange {
            ClaimExchange::Claim { id, .. } => ClaimEvent::Claimed {
                id,
                result: Err(error),
            },
            ClaimExchange::Raise { lease } => ClaimEvent::Raised {
                lease,
                result: Err(error),
            },
            ClaimExchange::Read { id, .. } => ClaimEvent::Read {
                id,
                result: Err(error),
            },
            ClaimExchange::Release { id, .. } => ClaimEvent::Released {
                id,
                result: Err(error),
            },
        });
    }

    fn handle(&mut self, event: ClaimEvent<u64, u64>) {
        let commands = self
            .scheduler
            .handle(event, |waiter| self.gone.contains(waiter));
        let mut given_up = Vec::new();
        for command in commands {
            match command {
                ClaimCommand::Send { exchange, .. } => self.send(exchange),
                ClaimCommand::RequestLease { .. } => {
                    assert!(!self.requested && !self.fenced, "requested twice");
                    self.requested = true;
                }
                ClaimCommand::Grant { waiter, names } => {
                    assert!(self.open.remove(&waiter), "answered once");
                    assert_eq!(waiter, names.reservation);
                    let committed = self.registry.committed.get(&waiter);
                    assert_eq!(committed, Some(&names.revision), "granted, not committed");
                    match self.gone.remove(&waiter) {
                        true => given_up.push(names),
                        false => self.held.push(names),
                    }
                }
                ClaimCommand::Refuse {
                    waiter,
                    reservation,
                    error,
                } => {
                    assert!(self.open.remove(&waiter), "answered once");
                    assert_eq!(waiter, reservation);
                    assert_eq!(error == ClaimError::Fenced, self.fenced);
                    self.gone.remove(&waiter);
                    self.free(reservation);
                }
                ClaimCommand::Doubt { waiter, error } => {
                    assert!(self.open.remove(&waiter), "answered once");
                    assert!(matches!(error, ClaimError::InDoubt(_)) && !self.fenced);
                    self.gone.remove(&waiter);
                    self.doubtful.insert(waiter);
                }
                ClaimCommand::Free { reservation } => {
                    // Either names were released, or nobody waits for the order.
                    if self.open.remove(&reservation) {
                        assert!(self.gone.remove(&reservation), "dropped without an answer");
                    }
                    self.free(reservation);
                }
                ClaimCommand::Fence(_) => {
                    assert!(
                        self.over && !self.fenced,
                        "fenced twice or without a reason"
                    );
                    self.fenced = true;
                }
            }
        }
        // Like the driver, return the names that were granted to waiters that have gone.
        for names in given_up {
            self.handle(ClaimEvent::GivenUp(names));
        }
    }

    fn send(&mut self, exchange: ClaimExchange) {
        assert!(!self.fenced);
        if let ClaimExchange::Claim { lease, claims, .. } = &exchange {
            for claim in claims {
                let leads = claim.puts.iter().any(|(key, _)| key == LEADER);
                assert!(!leads || *lease == FIRST, "it needs the first lease");
                let nonce = self.registry.nonces[&claim.puts[0].1];
                assert!(!self.gone.contains(&nonce), "its waiter has gone");
                assert!(!self.doubtful.contains(&nonce), "it was answered already");
            }
            let keys = claims.iter().flat_map(|claim| &claim.puts);
            let keys: Vec<&String> = keys.map(|(key, _)| key).collect();
            let distinct: BTreeSet<&String> = keys.iter().copied().collect();
            assert_eq!(keys.len(), distinct.len(), "a key is in the batch twice");
        }
        self.under_way.push(exchange);
    }

    /// Frees a reservation: nothing may be registered under its names, now or later.
    fn free(&mut self, reservation: u64) {
        let before = self.reserved.len();
        self.reserved.retain(|_, by| *by != reservation);
        assert!(self.reserved.len() < before, "freed twice");
        if self.over {
            return;
        }
        let free = |registry: &ModelRegistry| {
            let mut entries = registry.keys.values();
            !entries.any(|entry| carries(&entry.value, reservation))
        };
        assert!(free(&self.registry), "freed while the name is registered");
        for exchange in self.late.iter().chain(&self.under_way) {
            let mut later = self.registry.clone();
            later.committed.clear();
            later.carry_out(exchange);
            assert!(free(&later), "a late claim takes the name: {exchange:?}");
        }
    }

    fn check(&self) {
        if self.fenced {
            assert!(self.open.is_empty(), "an order is unanswered at the end");
        }
        if self.registry.restored {
            // Released names may be registered again.
            return;
        }
        for lease in &self.registry.leases {
            let carried = |entry: &&Entry| entry.lease == Some(*lease);
            let carried = self.registry.keys.values().filter(carried).count();
            assert!(carried <= CAPACITY, "a lease carries too many names");
        }
    }

    /// Lets late requests arrive first, and then answers every request.
    fn settle(&mut self) {
        for exchange in std::mem::take(&mut self.late) {
            self.registry.carry_out(&exchange);
        }
        for _ in 0..1_000 {
            if self.under_way.is_empty() {
                if !self.requested {
                    return;
                }
                self.grant(None);
                continue;
            }
            let exchange = self.under_way.remove(0);
            self.deliver(exchange, ModelDelivery::Answered);
            self.check();
        }
        panic!("the scheduler never becomes idle");
    }
}

fn deliveries() -> impl Strategy<Value = ModelDelivery> {
    prop_oneof![
        6 => Just(ModelDelivery::Answered),
        1 => Just(ModelDelivery::Rejected),
        2 => Just(ModelDelivery::RequestLost),
        2 => Just(ModelDelivery::ReplyLost),
        2 => Just(ModelDelivery::CarriedOutLate),
        2 => Just(ModelDelivery::NoSpace),
    ]
}

/// The kinds of error with which claims that need a lease can be refused.
fn refusals() -> impl Strategy<Value = RegistryErrorKind> {
    prop_oneof![
        Just(RegistryErrorKind::Unavailable),
        Just(RegistryErrorKind::NoSpace),
        Just(RegistryErrorKind::Auth),
        Just(RegistryErrorKind::WrongCluster),
        Just(RegistryErrorKind::Restored),
    ]
}

fn steps(ends: u32) -> impl Strategy<Value = Vec<ModelStep>> {
    let names = prop::collection::vec(0..6_u8, 1..3);
    let index = any::<prop::sample::Index>;
    let others = prop_oneof![
        30 => index().prop_map(ModelStep::GiveUp),
        20 => index().prop_map(ModelStep::Leave),
        20 => (0..6_u8).prop_map(ModelStep::Rival),
        20 => Just(ModelStep::Grant(None)),
        10 => refusals().prop_map(|kind| ModelStep::Grant(Some(kind))),
    ];
    let step = prop_oneof![
        60 => prop::collection::vec(names, 1..4).prop_map(ModelStep::Order),
        160 => (index(), deliveries())
            .prop_map(|(index, delivery)| ModelStep::Deliver(index, delivery)),
        30 => index().prop_map(ModelStep::Arrive),
        100 => others,
        ends => index().prop_map(ModelStep::LoseLease),
        ends => index().prop_map(ModelStep::LoseEpoch),
        2 * ends => index().prop_map(ModelStep::Restore),
        ends => Just(ModelStep::End),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn every_claim_is_answered_truly_and_no_name_is_left_behind(steps in steps(0)) {
        let mut session = ModelSession::new();
        for step in steps {
            session.step(step);
        }
        session.settle();
        let held = session.held.iter().flat_map(|names| names.keys.clone()).collect();
        prop_assert_eq!(session.registry.ours(), held);
        // No order waits for names to be released: there is always room, sooner or later.
        prop_assert!(session.open.is_empty());
        while let Some(names) = session.held.pop() {
            session.handle(ClaimEvent::GivenUp(names));
            session.settle();
        }
        prop_assert!(session.reserved.is_empty());
        prop_assert!(session.registry.ours().is_empty());
        prop_assert!(!session.fenced);
        // No place is lost.
        for lease in session.scheduler.leases.iter_mut() {
            prop_assert_eq!(lease.room(ClaimPlace::First), CAPACITY);
        }
    }

    #[test]
    fn a_session_that_ends_answers_all_and_keeps_nothing_but_what_is_held(steps in steps(2)) {
        let mut session = ModelSession::new();
        for step in steps {
            session.step(step);
        }
        session.settle();
        session.step(ModelStep::End);
        prop_assert!(session.open.is_empty());
        while let Some(names) = session.held.pop() {
            session.handle(ClaimEvent::GivenUp(names));
        }
        prop_assert!(session.reserved.is_empty());
    }
}
