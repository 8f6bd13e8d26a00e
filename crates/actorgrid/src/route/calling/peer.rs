//! One peer, and the connections to it: opened when needed, released when idle.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Uri;
use tokio::sync::watch;

use super::connection::Connection;
use super::peer_silence::{LOOK_INTERVAL, PeerSilence};
use super::pool_core::PoolCore;
use crate::address::Address;
use crate::environment::Environment;
use crate::error::{RequestError, RequestErrorKind};
use crate::registry::Capabilities;
use crate::route::codec::frame::PROCESS_PATH;
use crate::route::link::LINK_VERSIONS;
use crate::route::link::calling::{LinkPlace, LinkTarget};

/// Enough for any peer that answers at all; less than any deadline that leaves time for another
/// try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection without a call for this long, up to twice as long, is released.
const IDLE_TIME: Duration = Duration::from_secs(300);

/// A peer and the connections to it.
pub(super) struct Peer {
    pub(super) shared: Arc<PoolCore>,
    pub(super) uri: Uri,
    address: Address,
    pub(super) capabilities: Capabilities,
    places: Box<[Arc<ConnectionPlace>]>,
    next: AtomicUsize,
    /// The link, where the peer announces one and the client uses links.
    pub(super) link: Option<LinkPlace>,
    pub(super) last_asked: AtomicU64,
    /// The calls that had come to the link when the pool looked last.
    seen_uses: AtomicU64,
}

impl Peer {
    pub(super) fn new(shared: Arc<PoolCore>, address: Address, capabilities: Capabilities) -> Self {
        let uri = Uri::builder()
            .scheme("http")
            .authority(address.as_str())
            .path_and_query(PROCESS_PATH)
            .build()
            // Peers ignore the host.
            .unwrap_or_else(|_| Uri::from_static("http://peer/grid.wire/Process"));
        let link = link_target(&shared, &address, capabilities).map(LinkPlace::new);
        let places = (0..shared.connections_per_peer).map(|_| Arc::default());
        Self {
            uri,
            address,
            capabilities,
            places: places.collect(),
            next: AtomicUsize::new(0),
            link,
            last_asked: AtomicU64::new(0),
            seen_uses: AtomicU64::new(0),
            shared,
        }
    }

    /// Counts calls over the link as asking for the peer now: they do not ask the pool.
    pub(super) fn note_uses(&self, now: u64) {
        let uses = self.link.as_ref().map_or(0, LinkPlace::uses);
        if uses != self.seen_uses.swap(uses, Ordering::Relaxed) {
            self.last_asked.store(now, Ordering::Relaxed);
        }
    }

    /// Returns a connection, an open one if possible. Cancel safe: others may wait for it too.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, RequestError> {
        if self.shared.is_closed() {
            return Err(PoolCore::closed_error());
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.places.len();
        let place = self.places.get(next).ok_or_else(PoolCore::closed_error)?;
        loop {
            match self.connection_at(place).await {
                // As many calls as it can take waited for it; the others wait for the next one.
                Ok(connection) if connection.is_full() => {}
                connection => return connection,
            }
        }
    }

    async fn connection_at(
        &self,
        place: &Arc<ConnectionPlace>,
    ) -> Result<Arc<Connection>, RequestError> {
        let mut opening = {
            let mut state = lock(&place.state);
            match &*state {
                PlaceState::Open(connection) if connection.is_usable() => {
                    return Ok(Arc::clone(connection));
                }
                // If its task is gone without a result, the task died with its runtime.
                PlaceState::Opening(opening)
                    if opening.has_changed().is_ok() || opening.borrow().is_some() =>
                {
                    opening.clone()
                }
                _ => {
                    let (result, opening) = watch::channel(None);
                    *state = PlaceState::Opening(opening.clone());
                    self.open(place, result);
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

    /// Opens a connection in a task, so that it continues if the caller does not.
    fn open(&self, place: &Arc<ConnectionPlace>, result: watch::Sender<Option<Opened>>) {
        let shared = Arc::clone(&self.shared);
        let (address, capabilities) = (self.address.clone(), self.capabilities);
        let place = Arc::downgrade(place);
        // Ends when the pool is closed. It does not panic; if it did, the callers that wait for it
        // would notice that it is gone.
        self.shared.tasks.spawn(async move {
            let opened = tokio::select! {
                biased;
                () = shared.closed.cancelled() => Err(PoolCore::closed_error()),
                opened = open(&shared, &address, capabilities) => opened,
            };
            let state = match &opened {
                Ok((connection, _)) => PlaceState::Open(Arc::clone(connection)),
                Err(_) => PlaceState::Vacant,
            };
            if let Some(place) = place.upgrade() {
                *lock(&place.state) = state;
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
                    drive(&environment, driver, &place, &watched).await;
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

/// The target of links to a peer, if it announces one in a version that is spoken here.
fn link_target(
    shared: &PoolCore,
    address: &Address,
    capabilities: Capabilities,
) -> Option<LinkTarget> {
    let announced = capabilities.link()?;
    let client = shared.link_client.clone()?;
    let is_spoken =
        announced.oldest <= LINK_VERSIONS.newest && LINK_VERSIONS.oldest <= announced.newest;
    is_spoken.then(|| LinkTarget {
        environment: shared.environment.clone(),
        tasks: shared.tasks.clone(),
        closed: shared.closed.clone(),
        connections: shared.connections.clone(),
        client,
        address: address.clone(),
        incarnation: announced.incarnation.get(),
    })
}

type Opened = Result<Arc<Connection>, RequestError>;

async fn open(
    shared: &PoolCore,
    address: &Address,
    capabilities: Capabilities,
) -> Result<(Arc<Connection>, impl Future<Output = ()> + Send + use<>), RequestError> {
    let opening = async {
        Connection::open(
            &shared.environment,
            &shared.tasks,
            address,
            capabilities,
            &shared.closed,
        )
        .await
        .map_err(|error| unreachable(address, &error).caused_by(error))
    };
    match shared.environment.timeout(CONNECT_TIMEOUT, opening).await {
        Some(opened) => opened,
        None => Err(unreachable(address, &"timed out")),
    }
}

/// Drives a connection to its end. Breaks it if its peer is dead, and releases it if it is idle.
async fn drive(
    environment: &Environment,
    driver: impl Future<Output = ()>,
    place: &Weak<ConnectionPlace>,
    connection: &Weak<Connection>,
) {
    tokio::pin!(driver);
    let (mut silence, mut seen) = (PeerSilence::default(), 0);
    let mut idle_from = environment.now();
    loop {
        tokio::select! {
            biased;
            () = driver.as_mut() => return,
            () = environment.sleep(LOOK_INTERVAL) => {}
        }
        let Some(connection) = connection.upgrade() else {
            continue;
        };
        let traffic = connection.traffic();
        if traffic.is_some_and(|traffic| silence.look(traffic.heard(), traffic.written())) {
            tracing::debug!("a peer does not answer");
            connection.sever();
        }
        let now = environment.now();
        if now < idle_from + IDLE_TIME {
            continue;
        }
        idle_from = now;
        let uses = connection.uses();
        if uses == seen
            && let Some(place) = place.upgrade()
        {
            place.release(&connection);
        }
        seen = uses;
    }
}

fn unreachable(address: &Address, error: &dyn fmt::Display) -> RequestError {
    RequestError::refused(
        RequestErrorKind::Unreachable,
        format!("the peer at {address} cannot be reached: {error}"),
    )
}

/// The slot of one connection.
#[derive(Default)]
struct ConnectionPlace {
    state: Mutex<PlaceState>,
}

#[derive(Default)]
enum PlaceState {
    #[default]
    Vacant,
    Opening(watch::Receiver<Option<Opened>>),
    Open(Arc<Connection>),
}

impl ConnectionPlace {
    /// Releases the connection: it ends when the last call that uses it is over.
    fn release(&self, connection: &Arc<Connection>) {
        let mut state = lock(&self.state);
        if matches!(&*state, PlaceState::Open(open) if Arc::ptr_eq(open, connection)) {
            *state = PlaceState::Vacant;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
