//! The task that claims and releases the names of a session.
//!
//! Claims that wait at the same time go in one batch, nothing waits for company, and several
//! batches are on their way at once. A claim without an answer is in doubt: the epoch is raised
//! until the registry confirms it, and then its keys are read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use super::Fence;
use super::FenceReason;
use super::claims::{Fate, Settled, Verdict, fate, judge, settle, settles};
use crate::environment::Environment;
use crate::registry::{
    Claim, ClaimBatch, ClaimOutcome, Entry, Guard, LeaseId, RaiseOutcome, Registry, RegistryError,
};
use crate::revision::Revision;

/// Claims in one batch: half of what etcd's default limit on a transaction leaves room for, so
/// that claims of two keys fit as well.
const MAX_BATCH: usize = 60;
/// Batches on their way at once: where throughput stopped growing with etcd.
const MAX_BATCHES: usize = 8;
/// Claims that are taken from the queue and wait for a batch.
const MAX_WAITING: usize = MAX_BATCH * MAX_BATCHES;
/// Releases on their way at once.
const MAX_RELEASES: usize = 64;
/// The pause before an exchange that failed is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a claim was not won. In no case is a name left behind.
#[derive(Debug, Clone)]
pub(crate) enum ClaimError {
    /// Another registration holds one of the names.
    Taken(Entry),
    /// The session is over.
    Fenced,
    /// The registry did not take the claim.
    Registry(RegistryError),
}

/// A claim for the claimant.
pub(super) struct Order {
    pub(super) nonce: u64,
    pub(super) puts: Vec<(String, Bytes)>,
    pub(super) on_free: OnFree,
    pub(super) reply: oneshot::Sender<Result<Held, ClaimError>>,
}

impl Order {
    /// Nothing is held: the names are free before anyone is told.
    fn refuse(self, error: ClaimError) {
        drop(self.on_free);
        let _ = self.reply.send(Err(error));
    }
}

/// Names that the session holds, until this is released or dropped.
pub(crate) struct Held {
    revision: Revision,
    keys: Vec<String>,
    on_free: OnFree,
    releases: mpsc::UnboundedSender<Release>,
}

impl Held {
    /// The revision at which the names were registered.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Calls `on_free` once the names are released: deleted, or gone with the session.
    pub(crate) fn on_free(&mut self, on_free: impl FnOnce() + Send + Sync + 'static) {
        self.on_free.0.push(Box::new(on_free));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let release = Release {
            keys: std::mem::take(&mut self.keys),
            revision: self.revision,
            _on_free: OnFree(std::mem::take(&mut self.on_free.0)),
        };
        // Without a claimant the session has ended, and dropping the release frees the names.
        let _ = self.releases.send(release);
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Called when dropped: whichever way the names came free.
pub(super) struct OnFree(Vec<Box<dyn FnOnce() + Send + Sync>>);

impl OnFree {
    /// Drops what reserves the names.
    pub(super) fn dropping(reserved: impl Send + Sync + 'static) -> Self {
        Self(vec![Box::new(move || drop(reserved))])
    }
}

impl Drop for OnFree {
    fn drop(&mut self) {
        for on_free in self.0.drain(..) {
            on_free();
        }
    }
}

pub(super) struct Release {
    keys: Vec<String>,
    revision: Revision,
    _on_free: OnFree,
}

/// What the claimant works with.
pub(super) struct Claimant {
    pub(super) environment: Environment,
    pub(super) registry: Registry,
    pub(super) fence: Arc<Fence>,
    pub(super) lease: LeaseId,
    /// The epoch key, the revision at which this session created it, and its value.
    pub(super) epoch: String,
    pub(super) epoch_created: Revision,
    pub(super) epoch_value: Bytes,
    /// The time that one exchange may take.
    pub(super) limit: Duration,
    /// Bounded: who claims waits. The caller of a claim holds one place.
    pub(super) orders: mpsc::Receiver<Order>,
    /// Bounded by the names that are held: each is released once.
    pub(super) releases: mpsc::UnboundedReceiver<Release>,
    pub(super) release_sender: mpsc::UnboundedSender<Release>,
}

/// What comes back from the registry.
enum Reply {
    Batch {
        guard: Revision,
        orders: Vec<Order>,
        result: Result<Vec<ClaimOutcome>, RegistryError>,
    },
    Raised(Result<RaiseOutcome, RegistryError>),
    Read {
        orders: Vec<Order>,
        result: Result<Vec<Option<Entry>>, RegistryError>,
    },
    Released,
}

struct State {
    /// The modification revision of the epoch key, as last heard.
    epoch_modified: Revision,
    waiting: Vec<Order>,
    /// Claims without an answer, and the revision that they were guarded by.
    in_doubt: Vec<(Revision, Vec<Order>)>,
    raising: bool,
    batches: usize,
    releases: usize,
}

impl Claimant {
    /// Works until the session is fenced or ended; then every claim that is left is answered.
    pub(super) async fn run(mut self) {
        let mut state = State {
            epoch_modified: self.epoch_created,
            waiting: Vec::new(),
            in_doubt: Vec::new(),
            raising: false,
            batches: 0,
            releases: 0,
        };
        let mut exchanges: FuturesUnordered<BoxFuture<'static, Reply>> = FuturesUnordered::new();
        let fenced = self.fence.fenced().clone();
        loop {
            self.start(&mut state, &exchanges);
            tokio::select! {
                biased;
                () = fenced.cancelled() => break,
                Some(reply) = exchanges.next() => self.handle(&mut state, &exchanges, reply),
                Some(order) = self.orders.recv(), if state.waiting.len() < MAX_WAITING => {
                    state.waiting.push(order);
                    while state.waiting.len() < MAX_WAITING && let Ok(order) = self.orders.try_recv() {
                        state.waiting.push(order);
                    }
                }
                Some(release) = self.releases.recv(), if state.releases < MAX_RELEASES => {
                    state.releases += 1;
                    exchanges.push(self.release(release));
                }
            }
        }
        self.orders.close();
        drop(exchanges);
        let doubtful = state.in_doubt.into_iter().flat_map(|(_, orders)| orders);
        for order in state.waiting.into_iter().chain(doubtful) {
            order.refuse(ClaimError::Fenced);
        }
        while let Some(order) = self.orders.recv().await {
            order.refuse(ClaimError::Fenced);
        }
    }

    /// Sends what can be sent.
    fn start(&self, state: &mut State, exchanges: &FuturesUnordered<BoxFuture<'static, Reply>>) {
        if !state.in_doubt.is_empty() && !state.raising {
            state.raising = true;
            exchanges.push(self.raise());
        }
        // Beside a raise a claim would be refused, and sent again.
        while !state.raising && state.batches < MAX_BATCHES && !state.waiting.is_empty() {
            let count = state.waiting.len().min(MAX_BATCH);
            let orders: Vec<Order> = state.waiting.drain(..count).collect();
            state.batches += 1;
            exchanges.push(self.claim(state.epoch_modified, orders));
        }
    }

    fn handle(
        &self,
        state: &mut State,
        exchanges: &FuturesUnordered<BoxFuture<'static, Reply>>,
        reply: Reply,
    ) {
        match reply {
            Reply::Batch {
                guard,
                orders,
                result,
            } => {
                state.batches -= 1;
                match result {
                    Ok(outcomes) => {
                        for (order, outcome) in orders.into_iter().zip(outcomes) {
                            self.judged(state, order, outcome);
                        }
                    }
                    Err(error) => match fate(&error) {
                        Fate::InDoubt => state.in_doubt.push((guard, orders)),
                        Fate::Fenced => self.lost(FenceReason::LeaseLost, orders),
                        Fate::Unchanged => refuse(orders, &ClaimError::Registry(error)),
                    },
                }
            }
            Reply::Raised(result) => {
                state.raising = false;
                match result {
                    Ok(RaiseOutcome::Raised(raised)) => {
                        state.epoch_modified = state.epoch_modified.max(raised);
                        let (settled, open) = std::mem::take(&mut state.in_doubt)
                            .into_iter()
                            .partition(|(guard, _)| settles(raised, *guard));
                        state.in_doubt = open;
                        let settled: Vec<(Revision, Vec<Order>)> = settled;
                        for (_, orders) in settled {
                            exchanges.push(self.read(orders, Duration::ZERO));
                        }
                    }
                    Ok(RaiseOutcome::Refused(_)) => self.lost(FenceReason::KeyLost, Vec::new()),
                    Err(error) if fate(&error) == Fate::Fenced => {
                        self.lost(FenceReason::LeaseLost, Vec::new());
                    }
                    // The claims are still in doubt: the next round raises again.
                    Err(_) => {}
                }
            }
            Reply::Read { orders, result } => match result {
                Ok(mut found) => {
                    for order in orders {
                        let rest = found.split_off(order.puts.len().min(found.len()));
                        let read = std::mem::replace(&mut found, rest);
                        match settle(read, order.nonce) {
                            Settled::Won(revision) => self.won(order, revision),
                            Settled::Taken(holder) => order.refuse(ClaimError::Taken(holder)),
                            // Free, and nothing can commit late: claim it again.
                            Settled::Free => state.waiting.push(order),
                        }
                    }
                }
                Err(_) => exchanges.push(self.read(orders, PAUSE)),
            },
            Reply::Released => state.releases -= 1,
        }
    }

    fn judged(&self, state: &mut State, order: Order, outcome: ClaimOutcome) {
        match judge(outcome, self.epoch_created, order.nonce) {
            Verdict::Won(revision) => self.won(order, revision),
            Verdict::Taken(holder) => order.refuse(ClaimError::Taken(holder)),
            Verdict::Repeat(modified) => {
                state.epoch_modified = state.epoch_modified.max(modified);
                state.waiting.push(order);
            }
            Verdict::Fenced => self.lost(FenceReason::KeyLost, vec![order]),
        }
    }

    /// Hands the names over. Who claimed them may have gone: then they are dropped, and released.
    fn won(&self, order: Order, revision: Revision) {
        let held = Held {
            revision,
            keys: order.puts.into_iter().map(|(key, _)| key).collect(),
            on_free: order.on_free,
            releases: self.release_sender.clone(),
        };
        let _ = order.reply.send(Ok(held));
    }

    fn lost(&self, reason: FenceReason, orders: Vec<Order>) {
        self.fence.trip(reason);
        refuse(orders, &ClaimError::Fenced);
    }

    fn claim(&self, guard: Revision, orders: Vec<Order>) -> BoxFuture<'static, Reply> {
        let batch = ClaimBatch {
            lease: self.lease,
            guard: Some(Guard {
                epoch: self.epoch.clone(),
                modified: guard,
            }),
            claims: orders
                .iter()
                .map(|order| Claim {
                    puts: order.puts.clone(),
                })
                .collect(),
        };
        let (environment, registry, limit) =
            (self.environment.clone(), self.registry.clone(), self.limit);
        async move {
            let result = bounded(&environment, limit, registry.backend().claim(&batch)).await;
            Reply::Batch {
                guard,
                orders,
                result,
            }
        }
        .boxed()
    }

    fn raise(&self) -> BoxFuture<'static, Reply> {
        let (environment, registry, limit) =
            (self.environment.clone(), self.registry.clone(), self.limit);
        let (epoch, created, lease) = (self.epoch.clone(), self.epoch_created, self.lease);
        let value = self.epoch_value.clone();
        async move {
            let raise = registry.backend().raise(&epoch, created, lease, value);
            let result = bounded(&environment, limit, raise).await;
            if result.is_err() {
                environment.sleep(PAUSE).await;
            }
            Reply::Raised(result)
        }
        .boxed()
    }

    fn read(&self, orders: Vec<Order>, pause: Duration) -> BoxFuture<'static, Reply> {
        let (environment, registry, limit) =
            (self.environment.clone(), self.registry.clone(), self.limit);
        let keys: Vec<String> = orders
            .iter()
            .flat_map(|order| order.puts.iter().map(|(key, _)| key.clone()))
            .collect();
        async move {
            environment.sleep(pause).await;
            let result = bounded(&environment, limit, registry.backend().get(&keys)).await;
            Reply::Read { orders, result }
        }
        .boxed()
    }

    /// Deletes the keys of a release, however often it takes: the names stay reserved until then.
    fn release(&self, release: Release) -> BoxFuture<'static, Reply> {
        let (environment, registry, limit) =
            (self.environment.clone(), self.registry.clone(), self.limit);
        async move {
            // All of it, or what frees the names would be dropped here and now.
            let release = release;
            for key in &release.keys {
                let delete = || registry.backend().release(key, release.revision);
                while let Err(error) = bounded(&environment, limit, delete()).await {
                    tracing::warn!(key, %error, "release of a name is repeated");
                    environment.sleep(PAUSE).await;
                }
            }
            Reply::Released
        }
        .boxed()
    }
}

fn refuse(orders: Vec<Order>, error: &ClaimError) {
    for order in orders {
        order.refuse(error.clone());
    }
}

/// An exchange with the registry, given up without a reply after `limit`.
pub(super) async fn bounded<T>(
    environment: &Environment,
    limit: Duration,
    exchange: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    environment
        .timeout(limit, exchange)
        .await
        .unwrap_or_else(|| Err(RegistryError::no_reply()))
}
