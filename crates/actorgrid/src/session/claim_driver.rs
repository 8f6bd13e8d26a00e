//! The task that carries out the claim scheduler's commands.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use super::claim_command::ClaimCommand;
use super::claim_error::ClaimError;
use super::claim_event::{ClaimEvent, ClaimOrder};
use super::claim_exchange::ClaimExchange;
use super::claim_lease::ClaimLease;
use super::claim_scheduler::ClaimScheduler;
use super::claimed_names::ClaimedNames;
use super::epoch::Epoch;
use super::fence::Fence;
use super::held_claim::HeldClaim;
use super::on_free::OnFree;
use crate::registry::TimedRegistry;

/// Waits for the answer to a claim.
pub(super) type ClaimWaiter = oneshot::Sender<Result<HeldClaim, ClaimError>>;

type NamesEvent = ClaimEvent<ClaimWaiter, OnFree>;
type NamesCommand = ClaimCommand<ClaimWaiter, OnFree>;
type PendingExchanges = FuturesUnordered<BoxFuture<'static, NamesEvent>>;

/// Claims and releases names for a session.
pub(super) struct ClaimDriver {
    registry: TimedRegistry,
    fence: Arc<Fence>,
    epoch: Arc<Epoch>,
    /// Bounded: a caller waits while it is full.
    orders: mpsc::Receiver<ClaimOrder<ClaimWaiter, OnFree>>,
    /// Bounded by the number of held claims, each of which is sent once.
    given_up: mpsc::UnboundedReceiver<ClaimedNames<OnFree>>,
    given_up_sender: mpsc::UnboundedSender<ClaimedNames<OnFree>>,
}

impl ClaimDriver {
    pub(super) fn new(
        registry: TimedRegistry,
        fence: Arc<Fence>,
        epoch: Epoch,
        orders: mpsc::Receiver<ClaimOrder<ClaimWaiter, OnFree>>,
    ) -> Self {
        let (given_up_sender, given_up) = mpsc::unbounded_channel();
        Self {
            registry,
            fence,
            epoch: Arc::new(epoch),
            orders,
            given_up,
            given_up_sender,
        }
    }

    /// Runs until the session is fenced or ended, and then answers every open claim.
    pub(super) async fn run(mut self) {
        // One lease carries all names of a session.
        let lease = ClaimLease::new(self.epoch.lease, self.epoch.created, usize::MAX);
        let mut scheduler = ClaimScheduler::new([lease]);
        let mut exchanges = PendingExchanges::new();
        let mut orders = Vec::new();
        let fenced = self.fence.fenced().clone();
        loop {
            let room = scheduler.room();
            let event = tokio::select! {
                biased;
                () = fenced.cancelled() => break,
                Some(event) = exchanges.next() => event,
                1.. = self.orders.recv_many(&mut orders, room), if room > 0 => {
                    ClaimEvent::Ordered(std::mem::take(&mut orders))
                }
                Some(names) = self.given_up.recv() => ClaimEvent::GivenUp(names),
            };
            for command in scheduler.handle(event, ClaimWaiter::is_closed) {
                self.carry_out(command, &exchanges);
            }
        }
        // No result matters any more: the names are gone with the session.
        exchanges.clear();
        self.orders.close();
        let mut event = Some(ClaimEvent::Ended);
        while let Some(last) = event {
            for command in scheduler.handle(last, ClaimWaiter::is_closed) {
                self.carry_out(command, &exchanges);
            }
            let order = self.orders.recv().await;
            event = order.map(|order| ClaimEvent::Ordered(vec![order]));
        }
    }

    fn carry_out(&self, command: NamesCommand, exchanges: &PendingExchanges) {
        match command {
            ClaimCommand::Send { exchange, pause } => {
                exchanges.push(self.exchange(exchange, pause));
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
        let (registry, epoch) = (self.registry.clone(), self.epoch.clone());
        async move {
            if !pause.is_zero() {
                registry.environment().sleep(pause).await;
            }
            epoch.carry_out(exchange, &registry).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
