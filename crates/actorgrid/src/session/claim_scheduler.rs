//! Decides which claims, raises, reads and releases a session sends, and what their results mean.
//! Pure: events in, commands out; no clock and no I/O.
//!
//! Claims that wait at the same time share a batch, nothing waits for company, and several batches
//! are under way at once. Every claim is guarded by the modification revision of its lease's epoch
//! key. A claim without an answer is in doubt: it may have committed, or may still commit. The
//! epoch is then raised until the registry confirms it; from then on no claim that was guarded by
//! an earlier revision can commit, so a read of its keys settles the doubt for good. A registry
//! that reports an earlier epoch than before was restored from a snapshot: the session is over.
//! A claim whose waiter has gone is dropped instead of being sent, for the first time or again.
//!
//! A registry whose storage is full refuses to raise. Then nobody waits for it: claims that were
//! not sent are refused, and those in doubt are read once. One that is found was won. The waiter of
//! any other is told of the doubt, and the claim stays in doubt without it, as it may still commit,
//! until a raise succeeds; if it has committed by then, its names are released.
//!
//! Invariants:
//!
//! - Every order is answered once: won if it has committed, refused if it has not and cannot, or
//!   told of the doubt. Only one whose waiter has gone may be dropped without an answer; then, too,
//!   it cannot commit.
//! - The reservation of names is given back once, and not before they are free in the registry
//!   (or the session is over, and its leases are what frees them).
//! - While an order or a release is open, an exchange is under way, or the order waits for room:
//!   until names that are held are given up. Some lease has room for any order once it is empty.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::claim_command::ClaimCommand;
use super::claim_error::ClaimError;
use super::claim_event::{ClaimEvent, ClaimOrder, MAX_NAMES};
use super::claim_exchange::{ClaimExchange, ExchangeId};
use super::claim_lease::ClaimLease;
use super::claim_rules::{ClaimVerdict, ExchangeFate, SettledClaim, fate, judge, settle, settles};
use super::claimed_names::ClaimedNames;
use super::fence_reason::FenceReason;
use crate::registry::{Claim, ClaimOutcome, Entry, LeaseId, RaiseOutcome, RegistryError};
use crate::revision::Revision;

/// Claims in one batch: half of what etcd's default limit on a transaction leaves room for, so
/// that claims of two keys fit as well.
const MAX_BATCH: usize = 60;
/// Batches under way at once: where throughput stopped growing with etcd.
const MAX_BATCHES: usize = 8;
/// Claims that wait for a batch; the driver takes no more from its queue.
const MAX_WAITING: usize = MAX_BATCH * MAX_BATCHES;
/// Releases under way at once.
const MAX_RELEASES: usize = 64;
/// The pause before an exchange that failed is repeated.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause before a raise is repeated that a full storage refused: somebody has to clear it.
const NO_SPACE_PAUSE: Duration = Duration::from_secs(1);

/// An order whose waiter may have its answer already, while the order itself is not decided.
type OpenOrder<W, R> = ClaimOrder<Option<W>, R>;

/// Claims that were sent together: under one lease, with one guard.
#[derive(Debug)]
struct SentBatch<W, R> {
    lease: LeaseId,
    epoch_created: Revision,
    guard: Revision,
    orders: Vec<OpenOrder<W, R>>,
}

impl<W, R> SentBatch<W, R> {
    fn has_waiters(&self) -> bool {
        self.orders.iter().any(|order| order.waiter.is_some())
    }
}

/// Claims whose keys are being read.
#[derive(Debug)]
struct ReadBatch<W, R> {
    batch: SentBatch<W, R>,
    /// They cannot commit any more, so that the read decides.
    settled: bool,
}

/// Names whose keys are released one after the other.
#[derive(Debug)]
struct ReleasingNames<R> {
    names: ClaimedNames<R>,
    /// How many of the keys are released.
    done: usize,
}

/// The claims and releases of one session; see the documentation of this file.
#[derive(Debug)]
pub(super) struct ClaimScheduler<W, R> {
    leases: Vec<ClaimLease>,
    waiting: VecDeque<OpenOrder<W, R>>,
    given_up: VecDeque<ClaimedNames<R>>,
    batches: BTreeMap<ExchangeId, SentBatch<W, R>>,
    in_doubt: Vec<SentBatch<W, R>>,
    reads: BTreeMap<ExchangeId, ReadBatch<W, R>>,
    releases: BTreeMap<ExchangeId, ReleasingNames<R>>,
    /// The storage of the registry was full when an epoch was last raised.
    no_space: Option<RegistryError>,
    last_exchange: ExchangeId,
    ended: bool,
    commands: Vec<ClaimCommand<W, R>>,
}

impl<W, R> ClaimScheduler<W, R> {
    /// The scheduler of a session with these leases. A claim goes under the first of them that
    /// has room for all its names; one that finds none waits until names are released.
    ///
    /// One lease must have room for the names of any one claim while it is empty. A claim without
    /// such a lease would wait without end, and all claims behind it.
    pub(super) fn new(leases: impl IntoIterator<Item = ClaimLease>) -> Self {
        let leases: Vec<_> = leases.into_iter().collect();
        debug_assert!(
            leases.iter().any(|lease| lease.capacity() >= MAX_NAMES),
            "a lease has room for the names of any one claim"
        );
        Self {
            leases,
            waiting: VecDeque::new(),
            given_up: VecDeque::new(),
            batches: BTreeMap::new(),
            in_doubt: Vec::new(),
            reads: BTreeMap::new(),
            releases: BTreeMap::new(),
            no_space: None,
            last_exchange: ExchangeId(0),
            ended: false,
            commands: Vec::new(),
        }
    }

    /// How many more orders may come now.
    pub(super) fn room(&self) -> usize {
        MAX_WAITING.saturating_sub(self.waiting.len())
    }

    /// Takes an event, and decides all that follows from it. Results of exchanges that are not
    /// under way are ignored. `has_gone` says of a waiter whether it has stopped waiting.
    pub(super) fn handle(
        &mut self,
        event: ClaimEvent<W, R>,
        has_gone: impl Fn(&W) -> bool,
    ) -> Vec<ClaimCommand<W, R>> {
        match event {
            ClaimEvent::Ordered(orders) => {
                debug_assert!(orders.iter().all(|order| order.names() <= MAX_NAMES));
                self.waiting
                    .extend(orders.into_iter().map(ClaimOrder::opened));
            }
            ClaimEvent::GivenUp(names) => self.given_up.push_back(names),
            ClaimEvent::Claimed { id, result } => self.claimed(id, result),
            ClaimEvent::Raised { lease, result } => self.raised(lease, result),
            ClaimEvent::Read { id, result } => self.read(id, result),
            ClaimEvent::Released { id, result } => self.released(id, result),
            ClaimEvent::Ended => self.ended = true,
        }
        if self.ended {
            self.give_all_back();
        } else {
            self.raise_epochs();
            self.drop_abandoned(has_gone);
            self.refuse_without_space();
            self.send_claims();
            self.send_releases();
        }
        std::mem::take(&mut self.commands)
    }

    fn claimed(&mut self, id: ExchangeId, result: Result<Vec<ClaimOutcome>, RegistryError>) {
        let Some(mut batch) = self.batches.remove(&id) else {
            return;
        };
        match result {
            Ok(outcomes) => {
                let unanswered = batch
                    .orders
                    .split_off(outcomes.len().min(batch.orders.len()));
                let answered = std::mem::replace(&mut batch.orders, unanswered);
                for (order, outcome) in answered.into_iter().zip(outcomes) {
                    let verdict = judge(outcome, batch.epoch_created, batch.guard, order.nonce);
                    self.judged(batch.lease, order, verdict);
                }
                if !batch.orders.is_empty() {
                    self.in_doubt.push(batch);
                }
            }
            Err(error) => match fate(&error) {
                ExchangeFate::InDoubt => self.in_doubt.push(batch),
                ExchangeFate::Fenced(reason) => {
                    self.waiting.extend(batch.orders);
                    self.lose(reason);
                }
                ExchangeFate::Unchanged => {
                    for order in batch.orders {
                        self.refuse(batch.lease, order, ClaimError::Registry(error.clone()));
                    }
                }
            },
        }
    }

    fn judged(&mut self, lease: LeaseId, order: OpenOrder<W, R>, verdict: ClaimVerdict) {
        match verdict {
            ClaimVerdict::Won(revision) => self.grant(lease, order, revision),
            ClaimVerdict::Taken(holder) => self.refuse(lease, order, ClaimError::Taken(holder)),
            ClaimVerdict::Repeat(modified) => {
                self.update(lease, |lease| lease.epoch_reported(modified));
                self.repeat(lease, order);
            }
            ClaimVerdict::Fenced => {
                self.waiting.push_back(order);
                self.lose(FenceReason::KeyLost);
            }
        }
    }

    fn raised(&mut self, lease: LeaseId, result: Result<RaiseOutcome, RegistryError>) {
        let raises = |found: &ClaimLease| found.id() == lease && found.is_raising();
        if !self.leases.iter().any(raises) {
            return;
        }
        match result {
            Ok(RaiseOutcome::Raised(revision)) => {
                self.no_space = None;
                self.update(lease, |lease| {
                    lease.epoch_reported(revision);
                    lease.raise_ends();
                });
                let in_doubt = self.in_doubt.extract_if(.., |batch| batch.lease == lease);
                for batch in in_doubt.collect::<Vec<_>>() {
                    // Nothing is sent beside a raise, so the registry reported the guard before.
                    if !settles(revision, batch.guard) {
                        self.waiting.extend(batch.orders);
                        self.lose(FenceReason::KeyLost);
                        continue;
                    }
                    self.read_anew(batch, true);
                }
            }
            Ok(RaiseOutcome::NoSpace { modified, error }) => {
                self.not_raised(lease, modified, error);
            }
            Ok(RaiseOutcome::Refused(_)) => self.lose(FenceReason::KeyLost),
            Err(error) => match fate(&error) {
                ExchangeFate::Fenced(reason) => self.lose(reason),
                // The claims are still in doubt.
                ExchangeFate::Unchanged | ExchangeFate::InDoubt => {
                    self.send(ClaimExchange::Raise { lease }, PAUSE);
                }
            },
        }
    }

    /// The registry had no space to raise the epoch.
    fn not_raised(&mut self, lease: LeaseId, modified: Revision, error: RegistryError) {
        self.update(lease, |lease| lease.epoch_reported(modified));
        let in_doubt = self.in_doubt.extract_if(.., |batch| batch.lease == lease);
        for batch in in_doubt.collect::<Vec<_>>() {
            // A raise before this one may have been carried out without an answer.
            if settles(modified, batch.guard) {
                self.read_anew(batch, true);
            } else if batch.has_waiters() {
                self.read_anew(batch, false);
            } else {
                self.in_doubt.push(batch);
            }
        }
        self.no_space = Some(error);
        self.send(ClaimExchange::Raise { lease }, NO_SPACE_PAUSE);
    }

    fn read(&mut self, id: ExchangeId, result: Result<Vec<Option<Entry>>, RegistryError>) {
        let Some(ReadBatch { mut batch, settled }) = self.reads.remove(&id) else {
            return;
        };
        let Ok(found) = result else {
            return self.send_read(id, ReadBatch { batch, settled }, PAUSE);
        };
        let mut found = found.into_iter();
        for mut order in std::mem::take(&mut batch.orders) {
            let read = found.by_ref().take(order.names()).collect();
            match settle(read, order.nonce) {
                SettledClaim::Won(revision) => self.grant(batch.lease, order, revision),
                // It may still commit, or commit once another holder has gone.
                _ if !settled => {
                    self.doubt(&mut order);
                    batch.orders.push(order);
                }
                SettledClaim::Taken(holder) => {
                    self.refuse(batch.lease, order, ClaimError::Taken(holder));
                }
                // Free, and the claim cannot commit any more.
                SettledClaim::Free => self.repeat(batch.lease, order),
            }
        }
        if !batch.orders.is_empty() {
            self.in_doubt.push(batch);
        }
    }

    /// Tells the waiter of an order that it cannot be decided.
    fn doubt(&mut self, order: &mut OpenOrder<W, R>) {
        // Raised meanwhile, the order is settled next.
        if let Some(error) = &self.no_space
            && let Some(waiter) = order.waiter.take()
        {
            let error = ClaimError::InDoubt(error.clone());
            self.commands.push(ClaimCommand::Doubt { waiter, error });
        }
    }

    /// Refuses claims that would wait for a raise that finds no space.
    fn refuse_without_space(&mut self) {
        let Some(error) = self.no_space.clone() else {
            return;
        };
        for order in std::mem::take(&mut self.waiting) {
            self.answer(order, ClaimError::Registry(error.clone()));
        }
    }

    fn released(&mut self, id: ExchangeId, result: Result<(), RegistryError>) {
        let Some(mut releasing) = self.releases.remove(&id) else {
            return;
        };
        match result {
            Ok(()) => {
                releasing.done += 1;
                self.send_release(id, releasing, Duration::ZERO);
            }
            Err(_) => self.send_release(id, releasing, PAUSE),
        }
    }

    /// Raises the epochs under which claims are in doubt.
    fn raise_epochs(&mut self) {
        for lease in &mut self.leases {
            let in_doubt = |batch: &SentBatch<W, R>| batch.lease == lease.id();
            if !lease.is_raising() && self.in_doubt.iter().any(in_doubt) {
                lease.raise_begins();
                let exchange = ClaimExchange::Raise { lease: lease.id() };
                self.commands.push(ClaimCommand::Send {
                    exchange,
                    pause: Duration::ZERO,
                });
            }
        }
    }

    /// Drops claims that wait and whose waiters have gone. None of them can commit: they were never
    /// sent, or the registry has settled that they had not committed.
    fn drop_abandoned(&mut self, has_gone: impl Fn(&W) -> bool) {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let has_gone = |order: &OpenOrder<W, R>| order.waiter.as_ref().is_none_or(&has_gone);
        let (gone, left) = waiting.partition::<VecDeque<_>, _>(has_gone);
        self.waiting = left;
        for order in gone {
            self.free(order.reservation);
        }
    }

    /// Sends batches while claims wait. They keep their order: none overtakes one that finds no
    /// room.
    fn send_claims(&mut self) {
        while self.batches.len() < MAX_BATCHES
            && let Some(first) = self.waiting.front()
            && let Some(lease) = (self.leases.iter_mut()).find(|lease| lease.admits(first.names()))
        {
            let mut orders = Vec::new();
            while orders.len() < MAX_BATCH
                && let Some(order) = self.waiting.pop_front()
            {
                if !lease.admits(order.names()) {
                    self.waiting.push_front(order);
                    break;
                }
                lease.carry(order.names());
                orders.push(order);
            }
            let batch = SentBatch {
                lease: lease.id(),
                epoch_created: lease.epoch_created(),
                guard: lease.guard(),
                orders,
            };
            let claims = batch.orders.iter().map(|order| Claim {
                puts: order.puts.clone(),
            });
            let id = self.next_exchange();
            let exchange = ClaimExchange::Claim {
                id,
                lease: batch.lease,
                guard: batch.guard,
                claims: claims.collect(),
            };
            self.send(exchange, Duration::ZERO);
            self.batches.insert(id, batch);
        }
    }

    fn read_anew(&mut self, batch: SentBatch<W, R>, settled: bool) {
        let id = self.next_exchange();
        self.send_read(id, ReadBatch { batch, settled }, Duration::ZERO);
    }

    fn send_read(&mut self, id: ExchangeId, read: ReadBatch<W, R>, pause: Duration) {
        let puts = read.batch.orders.iter().flat_map(|order| &order.puts);
        let keys = puts.map(|(key, _)| key.clone()).collect();
        self.send(ClaimExchange::Read { id, keys }, pause);
        self.reads.insert(id, read);
    }

    fn send_releases(&mut self) {
        while self.releases.len() < MAX_RELEASES
            && let Some(names) = self.given_up.pop_front()
        {
            let id = self.next_exchange();
            self.send_release(id, ReleasingNames { names, done: 0 }, Duration::ZERO);
        }
    }

    /// Releases the next key, or frees the names after the last one.
    fn send_release(&mut self, id: ExchangeId, releasing: ReleasingNames<R>, pause: Duration) {
        let ReleasingNames { names, done } = releasing;
        if let Some(key) = names.keys.get(done) {
            let exchange = ClaimExchange::Release {
                id,
                key: key.clone(),
                revision: names.revision,
            };
            self.send(exchange, pause);
            self.releases.insert(id, ReleasingNames { names, done });
        } else {
            self.update(names.lease, |lease| lease.drop_names(names.keys.len()));
            self.free(names.reservation);
        }
    }

    fn send(&mut self, exchange: ClaimExchange, pause: Duration) {
        self.commands.push(ClaimCommand::Send { exchange, pause });
    }

    /// The claim has committed. Without a waiter its names are released at once.
    fn grant(&mut self, lease: LeaseId, order: OpenOrder<W, R>, revision: Revision) {
        let names = ClaimedNames {
            lease,
            revision,
            keys: order.puts.into_iter().map(|(key, _)| key).collect(),
            reservation: order.reservation,
        };
        match order.waiter {
            Some(waiter) => self.commands.push(ClaimCommand::Grant { waiter, names }),
            None => self.given_up.push_back(names),
        }
    }

    /// Refuses a claim that was sent under this lease.
    fn refuse(&mut self, lease: LeaseId, order: OpenOrder<W, R>, error: ClaimError) {
        self.update(lease, |lease| lease.drop_names(order.names()));
        self.answer(order, error);
    }

    /// Frees the names of an order, and answers its waiter if it has no answer yet.
    fn answer(&mut self, order: OpenOrder<W, R>, error: ClaimError) {
        let reservation = order.reservation;
        self.commands.push(match order.waiter {
            Some(waiter) => ClaimCommand::Refuse {
                waiter,
                reservation,
                error,
            },
            None => ClaimCommand::Free { reservation },
        });
    }

    /// Lets a claim that was sent under this lease, and has not committed, wait again.
    fn repeat(&mut self, lease: LeaseId, order: OpenOrder<W, R>) {
        self.update(lease, |lease| lease.drop_names(order.names()));
        self.waiting.push_back(order);
    }

    fn free(&mut self, reservation: R) {
        self.commands.push(ClaimCommand::Free { reservation });
    }

    /// The session is over. The first reason is reported.
    fn lose(&mut self, reason: FenceReason) {
        if !self.ended {
            self.ended = true;
            self.commands.push(ClaimCommand::Fence(reason));
        }
    }

    /// Answers every claim and frees all names that are being released.
    fn give_all_back(&mut self) {
        self.leases.iter_mut().for_each(ClaimLease::raise_ends);
        let sent = std::mem::take(&mut self.batches).into_values();
        let sent = sent.chain(std::mem::take(&mut self.in_doubt));
        let reads = std::mem::take(&mut self.reads).into_values();
        let sent = sent.chain(reads.map(|read| read.batch));
        let orders = sent.flat_map(|batch| batch.orders);
        for order in orders.chain(std::mem::take(&mut self.waiting)) {
            self.answer(order, ClaimError::Fenced);
        }
        let releases = std::mem::take(&mut self.releases).into_values();
        let given_up = releases.map(|releasing| releasing.names);
        for names in given_up.chain(std::mem::take(&mut self.given_up)) {
            self.free(names.reservation);
        }
    }

    fn update(&mut self, lease: LeaseId, update: impl FnOnce(&mut ClaimLease)) {
        // Leases do not leave a session.
        if let Some(lease) = self.leases.iter_mut().find(|found| found.id() == lease) {
            update(lease);
        }
    }

    fn next_exchange(&mut self) -> ExchangeId {
        self.last_exchange = ExchangeId(self.last_exchange.0 + 1);
        self.last_exchange
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
