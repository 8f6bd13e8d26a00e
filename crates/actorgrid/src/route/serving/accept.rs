//! The loop that accepts connections, and owns them until they end.

use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::accepted::serve;
use super::busy_connections::BusyConnections;
use super::connection_activity::ConnectionActivity;
use super::connection_table::{
    Arrival, ConnectionId, ConnectionTable, Source, SourceShares, source_of,
};
use super::control_budget::PeerControlBudget;
use super::counters::ServingCounters;
use super::end_orders::EndOrders;
use super::grid_service::GridService;
use super::served_connection::ServedConnection;
use crate::environment::{Environment, Listener, Socket, Timestamp, is_out_of_descriptors};
use crate::route::budget::ByteBudget;
use crate::route::tasks::Tasks;
use crate::route::transport::Transport;

/// The pause after the kernel fails to accept a connection and none can be closed to make room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long to wait until a connection that is being closed has freed its descriptor.
const EVICTION_PAUSE: Duration = Duration::from_millis(10);

/// At most this many connections are accepted in this time: 4,000 a second. The others wait in the
/// kernel.
const PACE_CONNECTIONS: u32 = 32;
const PACE_TIME: Duration = Duration::from_millis(8);

/// Owns the listener and the connections.
pub(super) struct AcceptLoop {
    pub(super) environment: Environment,
    pub(super) tasks: Tasks,
    pub(super) service: Arc<GridService>,
    pub(super) graceful: CancellationToken,
    pub(super) counters: Arc<ServingCounters>,
    pub(super) received: ByteBudget,
    pub(super) under_way: ByteBudget,
    pub(super) replies: ByteBudget,
    pub(super) max_streams: u32,
    pub(super) max_connections: usize,
    /// The addresses of proxies, which may use all connections.
    pub(super) exempt: Arc<[IpAddr]>,
    #[cfg(test)]
    pub(super) defect: Arc<std::sync::atomic::AtomicBool>,
}

/// The pace at which connections are accepted. Each costs as much as several requests, so a flood
/// of them must not keep the existing ones from being served. Pure.
struct AcceptPace {
    since: Timestamp,
    accepted: u32,
}

impl AcceptPace {
    const fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            accepted: 0,
        }
    }

    /// Counts an accepted connection. Returns how long to wait before the next one.
    fn accepted(&mut self, now: Timestamp) -> Option<Duration> {
        self.accepted += 1;
        if self.accepted < PACE_CONNECTIONS {
            return None;
        }
        let passed = now.since(self.since);
        let pause = PACE_TIME.saturating_sub(passed);
        *self = Self::new(now + pause);
        (!pause.is_zero()).then_some(pause)
    }
}

/// The accepted connections.
struct AcceptedConnections {
    table: ConnectionTable,
    tasks: JoinSet<ConnectionId>,
    control: PeerControlBudget,
    busy: BusyConnections,
    /// Identifies the connection of a task that has panicked.
    ids: std::collections::HashMap<Id, ConnectionId>,
}

impl AcceptLoop {
    /// Accepts and serves until it is cancelled. If it panics, its connections end, `deaths` counts
    /// it, and it starts again.
    pub(super) async fn run(
        self,
        mut listener: Listener,
        abort: CancellationToken,
        deaths: watch::Sender<u64>,
    ) {
        let mut connections = loop {
            let accepting = AssertUnwindSafe(self.accept(&mut listener)).catch_unwind();
            if let Ok(connections) = accepting.await {
                break connections;
            }
            deaths.send_modify(|deaths| *deaths += 1);
            self.environment.sleep(ACCEPT_PAUSE).await;
        };
        drop(listener);
        loop {
            tokio::select! {
                biased;
                () = abort.cancelled() => break,
                ended = connections.tasks.join_next_with_id() => match ended {
                    Some(ended) => connections.ended(ended),
                    None => break,
                },
            }
        }
        connections.tasks.shutdown().await;
    }

    /// Accepts until the end, and returns the remaining connections.
    async fn accept(&self, listener: &mut Listener) -> AcceptedConnections {
        let mut pace = AcceptPace::new(self.environment.now());
        let mut connections = AcceptedConnections {
            table: ConnectionTable::new(self.max_connections),
            tasks: JoinSet::new(),
            control: PeerControlBudget::new(),
            busy: BusyConnections::default(),
            ids: std::collections::HashMap::new(),
        };
        loop {
            tokio::select! {
                biased;
                () = self.graceful.cancelled() => return connections,
                Some(ended) = connections.tasks.join_next_with_id() => connections.ended(ended),
                socket = listener.accept() => match socket {
                    Ok(socket) => {
                        self.arrived(socket, &mut connections);
                        if let Some(pause) = pace.accepted(self.environment.now()) {
                            self.environment.sleep(pause).await;
                        }
                    }
                    // The simulated network is gone.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => return connections,
                    // The client has disconnected before it was accepted.
                    Err(error) if is_of_one_connection(&error) => debug!(%error, "not accepted"),
                    Err(error) => self.make_room(&error, &mut connections).await,
                },
            }
        }
    }

    /// Handles a connection that the kernel has accepted.
    fn arrived(&self, socket: Socket, connections: &mut AcceptedConnections) {
        #[cfg(test)]
        assert!(
            !self
                .defect
                .swap(false, std::sync::atomic::Ordering::Relaxed),
            "on purpose"
        );
        let address = socket.peer_addr().map(|address| address.ip());
        let source = address.map(source_of);
        let exempt = match address {
            Some(address) => self.exempt.contains(&address.to_canonical()),
            None => true,
        };
        match connections.table.arrive(source, exempt) {
            Arrival::Accept => {}
            Arrival::AcceptFor(victim) => self.evict(victim, connections),
            Arrival::Refuse => {
                self.counters.refused.increment();
                debug!("rejected a connection: there is no room");
                return;
            }
        }
        self.serve(socket, source, exempt, connections);
    }

    fn serve(
        &self,
        socket: Socket,
        source: Source,
        exempt: bool,
        connections: &mut AcceptedConnections,
    ) {
        let activity = Arc::new(ConnectionActivity::new(self.environment.now()));
        let evicted = CancellationToken::new();
        let now = self.environment.now();
        let shares = || SourceShares {
            control: connections.control.source(now),
            received: self.received.source(),
            under_way: self.under_way.source(),
            replies: self.replies.source(),
        };
        let (id, shares) = connections
            .table
            .add(source, activity.clone(), evicted.clone(), shares);
        let shares = if exempt { None } else { Some(shares) };
        let transport = Transport::accepted(socket);
        let connection = Arc::new(ServedConnection {
            environment: self.environment.clone(),
            tasks: self.tasks.clone(),
            counters: self.counters.clone(),
            activity,
            control: match &shares {
                Some(shares) => shares.control.clone(),
                None => connections.control.source(now),
            },
            busy: connections.busy.clone(),
            caller: transport.caller(),
            received: self
                .received
                .connection(shares.as_ref().map(|shares| &shares.received)),
            under_way: self
                .under_way
                .connection(shares.as_ref().map(|shares| &shares.under_way)),
            replies: self
                .replies
                .connection(shares.as_ref().map(|shares| &shares.replies)),
            max_streams: self.max_streams,
        });
        let end = EndOrders {
            graceful: self.graceful.clone(),
            evicted,
        };
        let service = self.service.clone();
        let counted = CountedConnection::new(&self.counters);
        let task = connections.tasks.spawn(async move {
            let _counted = counted;
            serve(connection, service, transport, end).await;
            id
        });
        connections.ids.insert(task.id(), id);
    }

    fn evict(&self, victim: ConnectionId, connections: &mut AcceptedConnections) {
        self.counters.evicted.increment();
        connections.table.evict(victim);
    }

    /// Handles a failure to accept. If descriptors have run out, closes a connection to free one.
    async fn make_room(&self, error: &io::Error, connections: &mut AcceptedConnections) {
        let victim = is_out_of_descriptors(error)
            .then(|| connections.table.victim())
            .flatten();
        let pause = match victim {
            Some(victim) => {
                self.evict(victim, connections);
                EVICTION_PAUSE
            }
            None => {
                warn!(%error, "cannot accept a connection");
                ACCEPT_PAUSE
            }
        };
        let ended = tokio::select! {
            biased;
            () = self.graceful.cancelled() => None,
            ended = connections.tasks.join_next_with_id(), if victim.is_some() => ended,
            () = self.environment.sleep(pause) => None,
        };
        if let Some(ended) = ended {
            connections.ended(ended);
        }
    }
}

impl AcceptedConnections {
    fn ended(&mut self, ended: Result<(Id, ConnectionId), JoinError>) {
        let task = match ended {
            Ok((task, _)) => task,
            Err(error) => {
                warn!(%error, "the task of a connection failed");
                error.id()
            }
        };
        if let Some(id) = self.ids.remove(&task) {
            self.table.remove(id);
        }
    }
}

/// Whether an error concerns one connection that was about to be accepted, rather than the
/// listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
    )
}

/// Counts a connection from its acceptance to its end.
struct CountedConnection(Arc<ServingCounters>);

impl CountedConnection {
    fn new(counters: &Arc<ServingCounters>) -> Self {
        counters.taken.increment();
        Self(Arc::clone(counters))
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.ended.increment();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_connections_is_paced_and_a_few_are_not() {
        let at = |millis| Timestamp::ZERO + Duration::from_millis(millis);
        let mut pace = AcceptPace::new(at(0));
        for _ in 1..PACE_CONNECTIONS {
            assert_eq!(pace.accepted(at(2)), None);
        }
        assert_eq!(pace.accepted(at(2)), Some(Duration::from_millis(6)));
        for _ in 0..3 * PACE_CONNECTIONS {
            // One per millisecond is no flood.
            let now = pace.since + PACE_TIME;
            assert_eq!(pace.accepted(now), None);
        }
    }
}
