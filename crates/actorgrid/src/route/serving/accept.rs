//! The loop that accepts connections, and owns them to their end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::connection::{OpenConnection, serve};
use super::grid_service::GridService;
use crate::counter::Counter;
use crate::environment::{Environment, Listener, Socket};
use crate::route::tasks::Tasks;
use crate::route::transport::Transport;

/// Connections at a time; further ones wait in the kernel's backlog. A grid of 1,000 peers with
/// a few clients each stays below it, and it is below a usual limit on open files.
const MAX_CONNECTIONS: usize = 4096;
/// How long to wait when the kernel gives no connection: it lacks file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Counts the connections of a [`ProcessServer`](super::ProcessServer): taken and ended.
#[derive(Debug, Default)]
pub(crate) struct AcceptedCounters {
    pub(crate) taken: Counter,
    pub(crate) ended: Counter,
}

/// Owns the listener and the connections.
pub(super) struct AcceptLoop {
    pub(super) environment: Environment,
    pub(super) tasks: Tasks,
    pub(super) service: Arc<GridService>,
    pub(super) graceful: CancellationToken,
    pub(super) counters: Arc<AcceptedCounters>,
}

impl AcceptLoop {
    pub(super) async fn run(self, mut listener: Listener, abort: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let room = connections.len() < MAX_CONNECTIONS;
            tokio::select! {
                biased;
                () = self.graceful.cancelled() => break,
                Some(ended) = connections.join_next() => report(ended),
                socket = listener.accept(), if room => match socket {
                    Ok(socket) => {
                        connections.spawn(self.connection(socket));
                    }
                    // The simulated network is gone.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => break,
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        let _ = self
                            .environment
                            .timeout(ACCEPT_PAUSE, self.graceful.cancelled())
                            .await;
                    }
                },
            }
        }
        drop(listener);
        loop {
            tokio::select! {
                biased;
                () = abort.cancelled() => break,
                ended = connections.join_next() => match ended {
                    Some(ended) => report(ended),
                    None => break,
                },
            }
        }
        connections.shutdown().await;
    }

    /// Serves one connection to its end; after `graceful` it accepts no more requests.
    fn connection(&self, socket: Socket) -> impl Future<Output = ()> + Send + use<> {
        let open = OpenConnection {
            environment: self.environment.clone(),
            tasks: self.tasks.clone(),
            service: Arc::clone(&self.service),
            graceful: self.graceful.clone(),
        };
        let counted = CountedConnection::new(&self.counters);
        async move {
            let _counted = counted;
            serve(open, Transport::accepted(socket)).await;
        }
    }
}

/// A connection that was taken and has not ended.
struct CountedConnection(Arc<AcceptedCounters>);

impl CountedConnection {
    fn new(counters: &Arc<AcceptedCounters>) -> Self {
        counters.taken.increment();
        Self(Arc::clone(counters))
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.ended.increment();
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        warn!(%error, "the task of a connection failed");
    }
}
