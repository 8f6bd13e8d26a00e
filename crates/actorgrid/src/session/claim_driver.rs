//! The task that carries out the claim scheduler's commands.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};

use super::claim_command::ClaimCommand;
use super::claim_error::ClaimError;
use super::claim_event::{ClaimEvent, ClaimOrder};
use super::claim_exchange::ClaimExchange;
use super::claim_lease::ClaimLease;
use super::claim_place::ClaimPlace;
use super::claim_scheduler::ClaimScheduler;
use super::claimed_names::ClaimedNames;
use super::epoch::Epoch;
use super::fence::Fence;
use super::held_claim::HeldClaim;
use super::lease_pool::LeasePool;
use super::lease_supply::FurtherLeases;
use super::on_free::OnFree;
use crate::registry::{LeaseId, RegistryError, RegistryErrorKind, TimedRegistry};

/// Waits for the answer to a claim.
pub(super) type ClaimWaiter = oneshot::Sender<Result<HeldClaim, ClaimError>>;

type NamesEvent = ClaimEvent<ClaimWaiter, OnFree>;
type NamesCommand = ClaimCommand<ClaimWaiter, OnFree>;
type PendingExchanges = FuturesUnordered<BoxFuture<'static, NamesEvent>>;

/// Where claims are ordered. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct OrderSender {
    first: mpsc::Sender<NameOrder>,
    any: mpsc::Sender<NameOrder>,
}

/// The claims that are ordered. Those that need the first lease do not wait behind others.
pub(super) struct OrderReceiver {
    first: mpsc::Receiver<NameOrder>,
    any: mpsc::Receiver<NameOrder>,
}

type NameOrder = ClaimOrder<ClaimWaiter, OnFree>;

/// Returns both ends of a queue for this many orders. A caller waits while it is full.
pub(super) fn order_queue(capacity: usize) -> (OrderSender, OrderReceiver) {
    // Only the leader needs the first lease.
    let (first, first_orders) = mpsc::channel(1);
    let (any, any_orders) = mpsc::channel(capacity);
    let receiver = OrderReceiver {
        first: first_orders,
        any: any_orders,
    };
    (OrderSender { first, any }, receiver)
}

impl OrderSender {
    /// Orders a claim. Fails if the session has ended.
    pub(super) async fn send(&self, order: NameOrder) -> Result<(), SendError<NameOrder>> {
        match order.place {
            ClaimPlace::First => self.first.send(order).await,
            ClaimPlace::Any => self.any.send(order).await,
        }
    }
}

/// Claims and releases names for a session.
pub(super) struct ClaimDriver {
    registry: TimedRegistry,
    fence: Arc<Fence>,
    /// The epoch of each lease.
    epochs: HashMap<LeaseId, Arc<Epoch>>,
    scheduler: ClaimScheduler<ClaimWaiter, OnFree>,
    further: FurtherLeases,
    orders: OrderReceiver,
    /// Bounded by the number of held claims, each of which is sent once.
    given_up: mpsc::UnboundedReceiver<ClaimedNames<OnFree>>,
    given_up_sender: mpsc::UnboundedSender<ClaimedNames<OnFree>>,
}

impl ClaimDriver {
    /// Creates the driver of a session that begins with one lease, and requests further ones for
    /// this many names each.
    pub(super) fn new(
        registry: TimedRegistry,
        fence: Arc<Fence>,
        first: Epoch,
        further: FurtherLeases,
        names_per_lease: usize,
        orders: OrderReceiver,
    ) -> Self {
        let (given_up_sender, given_up) = mpsc::unbounded_channel();
        let lease = ClaimLease::first(first.lease, first.created, names_per_lease);
        let leases = LeasePool::new([lease], names_per_lease);
        Self {
            registry,
            fence,
            epochs: HashMap::from([(first.lease, Arc::new(first))]),
            scheduler: ClaimScheduler::new(leases),
            further,
            orders,
            given_up,
            given_up_sender,
        }
    }

    /// Runs until the session is fenced or ended, and then answers every open claim.
    pub(super) async fn run(mut self) {
        let mut exchanges = PendingExchanges::new();
        let mut orders = Vec::new();
        let fenced = self.fence.fenced().clone();
        loop {
            let room = self.scheduler.room();
            let event = tokio::select! {
                biased;
                () = fenced.cancelled() => break,
                Some(event) = exchanges.next() => event,
                Some(granted) = self.further.granted.recv() => self.granted(granted),
                Some(order) = self.orders.first.recv() => ClaimEvent::Ordered(vec![order]),
                1.. = self.orders.any.recv_many(&mut orders, room), if room > 0 => {
                    ClaimEvent::Ordered(std::mem::take(&mut orders))
                }
                Some(names) = self.given_up.recv() => ClaimEvent::GivenUp(names),
            };
            self.handle(event, &exchanges);
        }
        // No result matters any more: the names are gone with the session.
        exchanges.clear();
        self.handle(ClaimEvent::Ended, &exchanges);
        let OrderReceiver { first, any } = &mut self.orders;
        let mut late = Vec::new();
        for orders in [first, any] {
            orders.close();
            while let Some(order) = orders.recv().await {
                late.push(order);
            }
        }
        self.handle(ClaimEvent::Ordered(late), &exchanges);
    }

    fn granted(&mut self, granted: Result<Epoch, RegistryError>) -> NamesEvent {
        match granted {
            Ok(epoch) => {
                let (lease, epoch_created) = (epoch.lease, epoch.created);
                self.epochs.insert(lease, Arc::new(epoch));
                ClaimEvent::LeaseAdded {
                    lease,
                    epoch_created,
                }
            }
            Err(error) => ClaimEvent::LeaseRefused(error),
        }
    }

    fn handle(&mut self, event: NamesEvent, exchanges: &PendingExchanges) {
        for command in self.scheduler.handle(event, ClaimWaiter::is_closed) {
            self.carry_out(command, exchanges);
        }
    }

    fn carry_out(&self, command: NamesCommand, exchanges: &PendingExchanges) {
        match command {
            ClaimCommand::Send { exchange, pause } => {
                exchanges.push(self.exchange(exchange, pause));
            }
            ClaimCommand::RequestLease { pause } => {
                // Only one request is open. Without a receiver the session ends.
                let _ = self.further.requests.try_send(pause);
            }
            // If the waiter has gone, the names are dropped and therefore released.
            ClaimCommand::Grant { waiter, names } => {
                let held = HeldClaim::new(names, self.given_up_sender.clone());
                let _ = waiter.send(Ok(held));
            }
            // The names must be free before the waiter learns of the refusal.
            ClaimCommand::Refuse {
                waiter,
                reservation,
                error,
            } => {
                drop(reservation);
                let _ = waiter.send(Err(error));
            }
            ClaimCommand::Doubt { waiter, error } => {
                let _ = waiter.send(Err(error));
            }
            ClaimCommand::Free { reservation } => drop(reservation),
            ClaimCommand::Fence(reason) => self.fence.trip(reason),
        }
    }

    fn exchange(&self, exchange: ClaimExchange, pause: Duration) -> BoxFuture<'static, NamesEvent> {
        let registry = self.registry.clone();
        let lease = match &exchange {
            ClaimExchange::Claim { lease, .. } | ClaimExchange::Raise { lease } => Some(lease),
            ClaimExchange::Read { .. } | ClaimExchange::Release { .. } => None,
        };
        let epoch = lease.and_then(|lease| self.epochs.get(lease)).cloned();
        async move {
            if !pause.is_zero() {
                registry.environment().sleep(pause).await;
            }
            carry_out(exchange, epoch.as_deref(), &registry).await
        }
        .boxed()
    }
}

/// Carries out an exchange, under the epoch of its lease if it has one, and returns its result as
/// an event for the claim scheduler.
async fn carry_out(
    exchange: ClaimExchange,
    epoch: Option<&Epoch>,
    registry: &TimedRegistry,
) -> NamesEvent {
    match exchange {
        ClaimExchange::Claim {
            id, guard, claims, ..
        } => {
            let result = match epoch {
                Some(epoch) => epoch.claim(guard, claims, registry).await,
                None => Err(no_epoch()),
            };
            ClaimEvent::Claimed { id, result }
        }
        ClaimExchange::Raise { lease } => {
            let result = match epoch {
                Some(epoch) => epoch.raise(registry).await,
                None => Err(no_epoch()),
            };
            ClaimEvent::Raised { lease, result }
        }
        ClaimExchange::Read { id, keys } => {
            let result = registry.exchange(|backend| backend.get(&keys)).await;
            ClaimEvent::Read { id, result }
        }
        ClaimExchange::Release { id, key, revision } => {
            let release = registry.exchange(|backend| backend.release(&key, revision));
            let result = release.await.map(|_| ());
            if let Err(error) = &result {
                tracing::warn!(key, %error, "releasing a name failed, retrying");
            }
            ClaimEvent::Released { id, result }
        }
    }
}

/// Returns the error of an exchange under a lease without an epoch, which is a defect of ours. It
/// fences the session: nothing would guard the claim.
fn no_epoch() -> RegistryError {
    debug_assert!(false, "a session claims only under leases with an epoch");
    let text = "the lease has no epoch in this session";
    RegistryError::new(RegistryErrorKind::LeaseNotFound, text)
}

#[cfg(test)]
mod tests;
