use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Uri;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::PROCESS_PATH;
use super::client::ProcessRoute;
use super::connection::Connection;
use super::tasks::Tasks;
use crate::address::Address;
use crate::counter::Counter;
use crate::environment::Environment;
use crate::error::{RequestError, RequestErrorKind};

/// Peers that are remembered: every peer of a grid of a thousand. One more takes the place of
/// the one that was not asked for the longest time.
const MAX_PEERS: usize = 1024;
/// For a peer that answers at all; less than any deadline that leaves time for another try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection without a call for this long, or twice as long, is let go.
const IDLE_TIME: Duration = Duration::from_secs(300);

/// What a [`Pool`] needs to know.
#[derive(Debug, Clone)]
pub(crate) struct PoolConfig {
    /// What the key of every mailbox of the grid begins with.
    pub(crate) mailbox_prefix: String,
    /// The largest message that is sent, and the largest reply that is taken, without envelopes.
    pub(crate) max_message_bytes: usize,
    /// One is enough unless single calls to one peer keep a whole processor busy; at least one.
    pub(crate) connections_per_peer: usize,
}

/// The connections of a client to peers, made when they are first needed.
///
/// Dropping it ends them at once, as [`close`](Self::close) does; then every route fails.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    peers: Mutex<HashMap<Address, Arc<Peer>>>,
    clock: AtomicU64,
}

/// What became of a pool's connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounters {
    pub(crate) opened: Counter,
    pub(crate) failed: Counter,
    pub(crate) ended: Counter,
}

/// What the routes of a pool share.
pub(super) struct Shared {
    pub(super) environment: Environment,
    pub(super) mailbox_prefix: String,
    pub(super) max_message_bytes: usize,
    connections_per_peer: usize,
    tasks: Tasks,
    connections: Arc<ConnectionCounters>,
    /// What `closed` says, for each call to ask: a token takes a lock.
    is_closed: AtomicBool,
    closed: CancellationToken,
}

impl Pool {
    pub(crate) fn new(environment: Environment, config: PoolConfig) -> Self {
        let shared = Shared {
            tasks: Tasks::new(environment.clone()),
            environment,
            mailbox_prefix: config.mailbox_prefix,
            max_message_bytes: config.max_message_bytes,
            connections_per_peer: config.connections_per_peer.max(1),
            connections: Arc::default(),
            is_closed: AtomicBool::new(false),
            closed: CancellationToken::new(),
        };
        Self {
            shared: Arc::new(shared),
            peers: Mutex::default(),
            clock: AtomicU64::new(0),
        }
    }

    /// The way to the peer at this address, which is one of `ours` or of another library. Does not
    /// connect yet.
    pub(crate) fn route(&self, address: &Address, ours: bool) -> ProcessRoute {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut peers = lock(&self.peers);
        let peer = match peers.get(address) {
            Some(peer) if peer.ours == ours => Arc::clone(peer),
            _ => {
                if peers.len() >= MAX_PEERS {
                    let oldest = peers
                        .iter()
                        .min_by_key(|(_, peer)| peer.last_asked.load(Ordering::Relaxed))
                        .map(|(address, _)| address.clone());
                    // Calls that are under way keep theirs until they are over.
                    oldest.and_then(|address| peers.remove(&address));
                }
                let peer = Arc::new(Peer::new(Arc::clone(&self.shared), address.clone(), ours));
                peers.insert(address.clone(), Arc::clone(&peer));
                peer
            }
        };
        drop(peers);
        peer.last_asked.store(now, Ordering::Relaxed);
        ProcessRoute::new(peer)
    }

    /// That the pool is closed, if it is.
    pub(crate) fn check_open(&self) -> Result<(), RequestError> {
        match self.shared.is_closed() {
            true => Err(Shared::closed_error()),
            false => Ok(()),
        }
    }

    /// Ends when the pool is closed. Cancel safe.
    pub(crate) async fn closed(&self) {
        self.shared.closed.cancelled().await;
    }

    pub(crate) fn connections(&self) -> &ConnectionCounters {
        &self.shared.connections
    }

    /// Ends all connections, and waits until their tasks have ended. Calls that are under way
    /// fail, and so do later ones: [`RequestErrorKind::ClientClosed`]. Cancel safe: a second call
    /// waits as well.
    pub(crate) async fn close(&self) {
        self.shared.close();
        lock(&self.peers).clear();
        self.shared.tasks.ended().await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.closed.cancel();
    }

    pub(super) fn closed_error() -> RequestError {
        RequestError::refused(RequestErrorKind::ClientClosed, "the client is closed")
    }
}

/// A peer and the connections to it.
pub(super) struct Peer {
    pub(super) shared: Arc<Shared>,
    pub(super) uri: Uri,
    address: Address,
    ours: bool,
    slots: Box<[Arc<Slot>]>,
    next: AtomicUsize,
    last_asked: AtomicU64,
}

impl Peer {
    fn new(shared: Arc<Shared>, address: Address, ours: bool) -> Self {
        let uri = Uri::builder()
            .scheme("http")
            .authority(address.as_str())
            .path_and_query(PROCESS_PATH)
            .build()
            // Peers do not look at the host.
            .unwrap_or_else(|_| Uri::from_static("http://peer/grid.wire/Process"));
        let slots = (0..shared.connections_per_peer).map(|_| Arc::default());
        Self {
            uri,
            address,
            ours,
            slots: slots.collect(),
            next: AtomicUsize::new(0),
            last_asked: AtomicU64::new(0),
            shared,
        }
    }

    /// A connection, an open one if there is. Cancel safe: others may wait for it too.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, RequestError> {
        if self.shared.is_closed() {
            return Err(Shared::closed_error());
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let slot = self.slots.get(next).ok_or_else(Shared::closed_error)?;
        loop {
            match self.connection_at(slot).await {
                // As many as it bears waited for it; the others wait for the next one.
                Ok(connection) if connection.is_full() => {}
                connection => return connection,
            }
        }
    }

    async fn connection_at(&self, slot: &Arc<Slot>) -> Result<Arc<Connection>, RequestError> {
        let mut opening = {
            let mut state = lock(&slot.state);
            match &*state {
                State::Open(connection) if connection.is_usable() => {
                    return Ok(Arc::clone(connection));
                }
                // An opening whose task is gone without a result died with its runtime.
                State::Opening(opening)
                    if opening.has_changed().is_ok() || opening.borrow().is_some() =>
                {
                    opening.clone()
                }
                _ => {
                    let (result, opening) = watch::channel(None);
                    *state = State::Opening(opening.clone());
                    self.open(slot, result);
                    opening
                }
            }
        };
        let gone = || unreachable(&self.address, &"the runtime that connected is gone");
        let opened = opening.wait_for(Option::is_some).await;
        opened
            .ok()
            .and_then(|opened| opened.clone())
            .unwrap_or_else(|| Err(gone()))
    }

    /// Opens a connection in a task, so that it goes on when the caller does not.
    fn open(&self, slot: &Arc<Slot>, result: watch::Sender<Option<Opened>>) {
        let shared = Arc::clone(&self.shared);
        let (address, ours) = (self.address.clone(), self.ours);
        let slot = Arc::downgrade(slot);
        // Ends when the pool is closed. It does not panic; if it did, the callers that wait for
        // it would see it gone.
        self.shared.tasks.spawn(async move {
            let opened = tokio::select! {
                biased;
                () = shared.closed.cancelled() => Err(Shared::closed_error()),
                opened = open(&shared, &address, ours) => opened,
            };
            let state = match &opened {
                Ok((connection, _)) => State::Open(Arc::clone(connection)),
                Err(_) => State::Vacant,
            };
            if let Some(slot) = slot.upgrade() {
                *lock(&slot.state) = state;
            }
            let connections = Arc::clone(&shared.connections);
            match opened {
                Ok((connection, driver)) => {
                    connections.opened.increment();
                    let watched = Arc::downgrade(&connection);
                    result.send_replace(Some(Ok(connection)));
                    drop(result);
                    let environment = shared.environment.clone();
                    drop(shared);
                    drive(&environment, driver, &slot, &watched).await;
                    connections.ended.increment();
                }
                Err(error) => {
                    if error.kind() == RequestErrorKind::Unreachable {
                        connections.failed.increment();
                    }
                    result.send_replace(Some(Err(error)));
                }
            }
        });
    }
}

type Opened = Result<Arc<Connection>, RequestError>;

async fn open(
    shared: &Shared,
    address: &Address,
    ours: bool,
) -> Result<(Arc<Connection>, impl Future<Output = ()> + Send + use<>), RequestError> {
    let opening = async {
        Connection::open(
            &shared.environment,
            &shared.tasks,
            address,
            ours,
            shared.closed.clone(),
        )
        .await
        .map_err(|error| unreachable(address, &error))
    };
    match shared.environment.timeout(CONNECT_TIMEOUT, opening).await {
        Some(opened) => opened,
        None => Err(unreachable(address, &"no connection in time")),
    }
}

/// Drives a connection to its end, and lets it go when it is idle.
async fn drive(
    environment: &Environment,
    driver: impl Future<Output = ()>,
    slot: &Weak<Slot>,
    connection: &Weak<Connection>,
) {
    tokio::pin!(driver);
    let mut seen = 0;
    loop {
        tokio::select! {
            biased;
            () = driver.as_mut() => return,
            () = environment.sleep(IDLE_TIME) => {
                let (Some(slot), Some(connection)) = (slot.upgrade(), connection.upgrade()) else {
                    continue;
                };
                let uses = connection.uses();
                if uses == seen {
                    slot.let_go(&connection);
                }
                seen = uses;
            }
        }
    }
}

fn unreachable(address: &Address, error: &dyn std::fmt::Display) -> RequestError {
    RequestError::refused(
        RequestErrorKind::Unreachable,
        format!("the peer at {address} cannot be reached: {error}"),
    )
}

/// The place of one connection.
#[derive(Default)]
struct Slot {
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Vacant,
    Opening(watch::Receiver<Option<Opened>>),
    Open(Arc<Connection>),
}

impl Slot {
    /// The connection ends when the last call that uses it is over.
    fn let_go(&self, connection: &Arc<Connection>) {
        let mut state = lock(&self.state);
        if matches!(&*state, State::Open(open) if Arc::ptr_eq(open, connection)) {
            *state = State::Vacant;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        let config = PoolConfig {
            mailbox_prefix: "test.mailbox.".to_owned(),
            max_message_bytes: 1024,
            connections_per_peer: 1,
        };
        Pool::new(Environment::real(), config)
    }

    #[test]
    fn remembers_the_peers_that_were_asked_last() {
        let pool = pool();
        let address =
            |i: usize| -> Address { format!("10.0.{}.{}:1", i / 250, i % 250).parse().unwrap() };
        for i in 0..=MAX_PEERS {
            pool.route(&address(i), true);
            pool.route(&address(0), true);
        }
        let peers = lock(&pool.peers);
        assert_eq!(peers.len(), MAX_PEERS);
        assert!(peers.contains_key(&address(0)));
        assert!(!peers.contains_key(&address(1)));
        assert!(peers.contains_key(&address(2)));
    }
}
