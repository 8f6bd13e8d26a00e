//! Decides which claims, raises, reads and releases a session sends, and what their results mean.
//! Pure: events in, commands out; no clock and no I/O.
//!
//! Claims that wait at the same time share a batch, no claim is held back to fill a batch, and
//! several batches are under way at once. Every claim is guarded by the modification revision of
//! its lease's epoch key. A claim without a reply is in doubt: it may have committed, or may still
//! commit. The epoch is then raised, with retries until the registry confirms it. From then on no
//! claim that was guarded by an earlier revision can commit, so a read of its keys settles the
//! doubt permanently. A registry that reports an earlier epoch than before was restored from a
//! snapshot: the session is over. A claim whose waiter has gone is dropped instead of being sent or
//! resent.
//!
//! A claim that finds no room waits for a further lease, which is requested before the room runs
//! out (see [`LeasePool`]). If none is granted, such claims are refused. Claims keep their order,
//! but those that need the first lease and all others do not wait for each other: they share no
//! names, as no two claims do.
//!
//! A registry whose storage is full refuses to raise. No waiter is kept waiting for space: claims
//! that were not sent are refused, and the keys of claims in doubt are read once. A claim that is
//! found there was won. The waiter of any other claim is answered that it is in doubt, and the
//! claim stays in doubt without a waiter, as it may still commit, until a raise succeeds. If it has
//! committed by then, its names are released.
//!
//! Invariants:
//!
//! - Every order is answered once: as won if it has committed, as refused if it has not and cannot,
//!   or as in doubt. Only an order whose waiter has gone may be dropped without an answer, and only
//!   if it cannot commit.
//! - The reservation of names is freed once, and not before the names are free in the registry (or
//!   the session is over, in which case the end of its leases frees them).
//! - While an order or a release is open, an exchange is under way, or a further lease for the
//!   order is requested.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::claim_command::ClaimCommand;
use super::claim_error::ClaimError;
use super::claim_event::{ClaimEvent, ClaimOrder, MAX_NAMES};
use super::claim_exchange::{ClaimExchange, ExchangeId};
use super::claim_lease::ClaimLease;
use super::claim_place::ClaimPlace;
use super::claim_rules::{ClaimVerdict, ExchangeFate, SettledClaim, fate, judge, settle, settles};
use super::claimed_names::ClaimedNames;
use super::fence_reason::FenceReason;
use super::lease_pool::LeasePool;
use crate::registry::{Claim, ClaimOutcome, Entry, LeaseId, RaiseOutcome, RegistryError};
use crate::revision::Revision;

/// The maximum number of claims in one batch: half of what etcd's default limit on a transaction
/// allows, so that claims of two keys fit as well.
const MAX_BATCH: usize = 60;
/// The maximum number of batches under way at once: throughput with etcd stopped growing there.
const MAX_BATCHES: usize = 8;
/// The maximum number of claims that wait for a batch; at this many, the driver takes no more from
/// its queue.
const MAX_WAITING: usize = MAX_BATCH * MAX_BATCHES;
/// The maximum number of releases under way at once.
const MAX_RELEASES: usize = 64;
/// The pause before a failed exchange is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The pause before a raise that was refused because the storage is full is retried: an operator
/// has to make room first.
const NO_SPACE_PAUSE: Duration = Duration::from_secs(1);

/// An order that is not decided, although its waiter may have been answered already.
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
    /// Whether the claims can no longer commit, so that the read decides.
    settled: bool,
}

/// Names whose keys are released one after the other.
#[derive(Debug)]
struct ReleasingNames<R> {
    names: ClaimedNames<R>,
    /// The number of keys that are released.
    done: usize,
}

/// Schedules the claims and releases of one session; see the documentation of this module.
#[derive(Debug)]
pub(super) struct ClaimScheduler<W, R> {
    leases: LeasePool,
    waiting: VecDeque<OpenOrder<W, R>>,
    given_up: VecDeque<ClaimedNames<R>>,
    batches: BTreeMap<ExchangeId, SentBatch<W, R>>,
    in_doubt: Vec<SentBatch<W, R>>,
    reads: BTreeMap<ExchangeId, ReadBatch<W, R>>,
    releases: BTreeMap<ExchangeId, ReleasingNames<R>>,
    /// `Some` if the registry's storage was full when an epoch was last raised.
    no_space: Option<RegistryError>,
    last_exchange: ExchangeId,
    ended: bool,
    commands: Vec<ClaimCommand<W, R>>,
}

impl<W, R> ClaimScheduler<W, R> {
    /// Creates the scheduler of a session with these leases.
    pub(super) fn new(leases: LeasePool) -> Self {
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

    /// Returns how many more orders may be passed in now.
    pub(super) fn room(&self) -> usize {
        MAX_WAITING.saturating_sub(self.waiting.len())
    }

    /// Handles an event, and returns the commands that follow from it. Results of exchanges that
    /// are not under way are ignored. `has_gone` returns whether a waiter has stopped waiting.
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
            ClaimEvent::LeaseAdded {
                lease,
                epoch_created,
            } => self.leases.added(lease, epoch_created),
            ClaimEvent::LeaseRefused(error) => self.lease_refused(&error),
            ClaimEvent::Claimed { id, result } => self.claimed(id, result),
            ClaimEvent::Raised { lease, result } => self.raised(lease, result),
            ClaimEvent::Read { id, result } => self.read(id, result),
            ClaimEvent::Released { id, result } => self.released(id, result),
            ClaimEvent::Ended => self.ended = true,
        }
        if self.ended {
            self.answer_and_free_all();
        } else {
            self.raise_epochs();
            self.drop_abandoned(has_gone);
            self.refuse_without_space();
            self.send_claims();
            self.request_lease();
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
        if !self
            .leases
            .get(lease)
            .is_some_and(|lease| lease.is_raising())
        {
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
                    // No claim is sent during a raise, so the guard was reported before it.
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
                // The claims remain in doubt.
                ExchangeFate::Unchanged | ExchangeFate::InDoubt => {
                    self.send(ClaimExchange::Raise { lease }, RETRY_PAUSE);
                }
            },
        }
    }

    /// Handles that the registry had no space to raise the epoch.
    fn not_raised(&mut self, lease: LeaseId, modified: Revision, error: RegistryError) {
        self.update(lease, |lease| lease.epoch_reported(modified));
        let in_doubt = self.in_doubt.extract_if(.., |batch| batch.lease == lease);
        for batch in in_doubt.collect::<Vec<_>>() {
            // An earlier raise may have been carried out although its reply was lost.
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
            return self.send_read(id, ReadBatch { batch, settled }, RETRY_PAUSE);
        };
        let mut found = found.into_iter();
        for mut order in std::mem::take(&mut batch.orders) {
            let read = found.by_ref().take(order.names()).collect();
            match settle(read, order.nonce) {
                SettledClaim::Won(revision) => self.grant(batch.lease, order, revision),
                // The claim may still commit, possibly once another holder has gone.
                _ if !settled => {
                    self.doubt(&mut order);
                    batch.orders.push(order);
                }
                SettledClaim::Taken(holder) => {
                    self.refuse(batch.lease, order, ClaimError::Taken(holder));
                }
                // The names are free, and the claim can no longer commit.
                SettledClaim::Free => self.repeat(batch.lease, order),
            }
        }
        if !batch.orders.is_empty() {
            self.in_doubt.push(batch);
        }
    }

    /// Answers the waiter of an order that the order cannot be decided yet.
    fn doubt(&mut self, order: &mut OpenOrder<W, R>) {
        // If the epoch was raised meanwhile, the order is settled next instead.
        if let Some(error) = &self.no_space
            && let Some(waiter) = order.waiter.take()
        {
            let error = ClaimError::InDoubt(error.clone());
            self.commands.push(ClaimCommand::Doubt { waiter, error });
        }
    }

    /// Refuses waiting claims while the storage is full: they would wait for a raise that needs
    /// space.
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
            Err(_) => self.send_release(id, releasing, RETRY_PAUSE),
        }
    }

    /// Raises the epochs under which claims are in doubt.
    fn raise_epochs(&mut self) {
        if self.in_doubt.is_empty() {
            return;
        }
        for lease in self.leases.iter_mut() {
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

    /// Drops waiting claims whose waiters have gone. None of them can commit: they were never sent,
    /// or it is settled that they had not committed.
    fn drop_abandoned(&mut self, has_gone: impl Fn(&W) -> bool) {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let has_gone = |order: &OpenOrder<W, R>| order.waiter.as_ref().is_none_or(&has_gone);
        let (gone, left) = waiting.partition::<VecDeque<_>, _>(has_gone);
        self.waiting = left;
        for order in gone {
            self.free(order.reservation);
        }
    }

    /// Sends batches while claims wait.
    fn send_claims(&mut self) {
        for place in [ClaimPlace::First, ClaimPlace::Any] {
            while self.batches.len() < MAX_BATCHES
                && let Some(batch) = self.next_batch(place)
            {
                self.send_batch(batch);
            }
        }
    }

    /// Takes the next claims of one place that can be sent together now. None overtakes a claim
    /// that finds no room.
    fn next_batch(&mut self, place: ClaimPlace) -> Option<SentBatch<W, R>> {
        let mut next = (self.waiting.iter()).position(|order| order.place == place)?;
        let lease = self.leases.place(self.waiting[next].names(), place)?;
        let mut orders = Vec::new();
        while orders.len() < MAX_BATCH
            && let Some(order) = self.waiting.get(next)
        {
            if order.place != place {
                next += 1;
                continue;
            }
            if !lease.admits(order.names(), place) {
                break;
            }
            lease.carry(order.names());
            orders.extend(self.waiting.remove(next));
        }
        Some(SentBatch {
            lease: lease.id(),
            epoch_created: lease.epoch_created(),
            guard: lease.guard(),
            orders,
        })
    }

    fn send_batch(&mut self, batch: SentBatch<W, R>) {
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

    /// Requests a further lease if the claims need one now, or soon.
    fn request_lease(&mut self) {
        let waiting = self.waiting.iter().map(ClaimOrder::names).sum();
        if let Some(pause) = self.leases.request(waiting) {
            self.commands.push(ClaimCommand::RequestLease { pause });
        }
    }

    /// Refuses the claims that wait for a further lease, as none was granted.
    fn lease_refused(&mut self, error: &RegistryError) {
        self.leases.refused();
        for order in std::mem::take(&mut self.waiting) {
            match self.leases.has_room(order.names(), order.place) {
                true => self.waiting.push_back(order),
                false => self.answer(order, ClaimError::Registry(error.clone())),
            }
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

    /// Releases the next key, or frees the names if all keys are released.
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
        // One answer can end the session and then free names. The end answers and frees all.
        if !self.ended {
            self.commands.push(ClaimCommand::Send { exchange, pause });
        }
    }

    /// Grants a claim that has committed. Without a waiter, its names are released at once.
    fn grant(&mut self, lease: LeaseId, order: OpenOrder<W, R>, revision: Revision) {
        // It would keep the memory of the values.
        let mut keys: Vec<_> = order.puts.into_iter().map(|(key, _)| key).collect();
        keys.shrink_to_fit();
        let names = ClaimedNames {
            lease,
            revision,
            keys,
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

    /// Frees the names of an order, and answers its waiter unless it was answered before.
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

    /// Requeues a claim that was sent under this lease and has not committed.
    fn repeat(&mut self, lease: LeaseId, order: OpenOrder<W, R>) {
        self.update(lease, |lease| lease.drop_names(order.names()));
        self.waiting.push_back(order);
    }

    fn free(&mut self, reservation: R) {
        self.commands.push(ClaimCommand::Free { reservation });
    }

    /// Ends the session and fences it. Only the first reason is reported.
    fn lose(&mut self, reason: FenceReason) {
        if !self.ended {
            self.ended = true;
            self.commands.push(ClaimCommand::Fence(reason));
        }
    }

    /// Answers every open claim, and frees all names that are to be released.
    fn answer_and_free_all(&mut self) {
        self.leases.iter_mut().for_each(|lease| lease.raise_ends());
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
        if let Some(lease) = self.leases.get(lease) {
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
