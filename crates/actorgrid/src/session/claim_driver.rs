//! The task that carries out what the claim scheduler decides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use super::Fence;
use super::claim_command::ClaimCommand;
use super::claim_error::ClaimError;
use super::claim_event::{ClaimEvent, ClaimOrder};
use super::claim_exchange::ClaimExchange;
use super::claim_lease::ClaimLease;
use super::claim_scheduler::ClaimScheduler;
use super::claimed_names::ClaimedNames;
use super::exchange::bounded;
use super::held_names::HeldNames;
use super::on_free::OnFree;
use crate::environment::Environment;
use crate::registry::{ClaimBatch, Guard, LeaseId, Registry};
use crate::revision::Revision;

/// Waits for the answer to a claim.
pub(super) type ClaimWaiter = oneshot::Sender<Result<HeldNames, ClaimError>>;

type Event = ClaimEvent<ClaimWaiter, OnFree>;
type Command = ClaimCommand<ClaimWaiter, OnFree>;
type Exchanges = FuturesUnordered<BoxFuture<'static, Event>>;

/// The epoch key of the session, which guards the claims under its lease.
pub(super) struct Epoch {
    pub(super) lease: LeaseId,
    pub(super) key: String,
    pub(super) value: Bytes,
    /// The revision at which this session created it.
    pub(super) created: Revision,
}

/// Claims and releases names for a session.
pub(super) struct ClaimDriver {
    pub(super) environment: Environment,
    pub(super) registry: Registry,
    /// The time that one exchange may take.
    pub(super) limit: Duration,
    pub(super) fence: Arc<Fence>,
    pub(super) epoch: Arc<Epoch>,
    /// Bounded: a caller without a place waits for one.
    pub(super) orders: mpsc::Receiver<ClaimOrder<ClaimWaiter, OnFree>>,
    /// Bounded by the names that are held: each is given up once.
    pub(super) given_up: mpsc::UnboundedReceiver<ClaimedNames<OnFree>>,
    pub(super) given_up_sender: mpsc::UnboundedSender<ClaimedNames<OnFree>>,
}

impl ClaimDriver {
    /// Works until the session is fenced or ended; then every claim that is left is answered.
    pub(super) async fn run(mut self) {
        // One lease carries all names of a session.
        let lease = ClaimLease::new(self.epoch.lease, self.epoch.created, usize::MAX);
        let mut scheduler = ClaimScheduler::new([lease]);
        let mut exchanges = Exchanges::new();
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
            for command in scheduler.handle(event) {
                self.carry_out(command, &exchanges);
            }
        }
        // Nothing is awaited any more: the names are gone with the session.
        exchanges.clear();
        self.orders.close();
        let mut event = Some(ClaimEvent::Ended);
        while let Some(last) = event {
            for command in scheduler.handle(last) {
                self.carry_out(command, &exchanges);
            }
            let order = self.orders.recv().await;
            event = order.map(|order| ClaimEvent::Ordered(vec![order]));
        }
    }

    fn carry_out(&self, command: Command, exchanges: &Exchanges) {
        match command {
            ClaimCommand::Send { exchange, pause } => {
                exchanges.push(self.exchange(exchange, pause));
            }
            // A waiter that has gone drops the names, and so gives them up.
            ClaimCommand::Grant { waiter, names } => {
                let held = HeldNames::new(names, self.given_up_sender.clone());
                let _ = waiter.send(Ok(held));
            }
            // The names are free before the waiter learns of it.
            ClaimCommand::Refuse {
                waiter,
                reservation,
                error,
            } => {
                drop(reservation);
                let _ = waiter.send(Err(error));
            }
            ClaimCommand::Free { reservation } => drop(reservation),
            ClaimCommand::Fence(reason) => self.fence.trip(reason),
        }
    }

    fn exchange(&self, exchange: ClaimExchange, pause: Duration) -> BoxFuture<'static, Event> {
        let (environment, registry, limit) =
            (self.environment.clone(), self.registry.clone(), self.limit);
        let epoch = self.epoch.clone();
        async move {
            if !pause.is_zero() {
                environment.sleep(pause).await;
            }
            let backend = registry.backend();
            match exchange {
                ClaimExchange::Claim {
                    id,
                    lease,
                    guard,
                    claims,
                } => {
                    let epoch = epoch.key.clone();
                    let batch = ClaimBatch {
                        lease,
                        guard: Some(Guard {
                            epoch,
                            modified: guard,
                        }),
                        claims,
                    };
                    let result = bounded(&environment, limit, backend.claim(&batch)).await;
                    ClaimEvent::Claimed { id, result }
                }
                ClaimExchange::Raise { lease } => {
                    let value = epoch.value.clone();
                    let raise = backend.raise(&epoch.key, epoch.created, lease, value);
                    let result = bounded(&environment, limit, raise).await;
                    ClaimEvent::Raised { lease, result }
                }
                ClaimExchange::Read { id, keys } => {
                    let result = bounded(&environment, limit, backend.get(&keys)).await;
                    ClaimEvent::Read { id, result }
                }
                ClaimExchange::Release { id, key, revision } => {
                    let release = backend.release(&key, revision);
                    let result = bounded(&environment, limit, release).await;
                    if let Err(error) = &result {
                        tracing::warn!(key, %error, "release of a name is repeated");
                    }
                    let result = result.map(|_| ());
                    ClaimEvent::Released { id, result }
                }
            }
        }
        .boxed()
    }
}
