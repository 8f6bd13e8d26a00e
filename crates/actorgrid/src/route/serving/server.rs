//! The server of the unary gRPC route: it starts and ends the accept loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::accept::{AcceptLoop, AcceptedCounters};
use super::grid_service::GridService;
use super::health::HealthService;
use super::process::ProcessService;
use crate::environment::{Environment, Listener};
use crate::name::Namespace;
use crate::registry::{Kind, keys};
use crate::route::admission::Serving;
use crate::route::budget::ByteBudget;
use crate::route::directory::Directory;
use crate::route::tasks::Tasks;

/// The settings of a [`ProcessServer`].
#[derive(Debug, Clone)]
pub(crate) struct ServerConfig {
    pub(crate) namespace: Namespace,
    /// The largest message that is taken, and the largest reply. It counts the message alone
    /// for our clients, and with its envelope for others, as the Go library does.
    pub(crate) max_message_bytes: usize,
}

/// Serves the mailboxes of a peer over the unary route, and reports its health.
///
/// Dropping it ends all connections at once.
pub(crate) struct ProcessServer {
    environment: Environment,
    tasks: Tasks,
    graceful: CancellationToken,
    abort: CancellationToken,
    accepting: JoinHandle<()>,
    counters: Arc<AcceptedCounters>,
}

impl ProcessServer {
    pub(crate) fn start(
        environment: Environment,
        listener: Listener,
        directory: Arc<dyn Directory>,
        serving: Serving,
        config: ServerConfig,
    ) -> Self {
        let tasks = Tasks::new(environment.clone());
        let graceful = CancellationToken::new();
        let abort = CancellationToken::new();
        let counters = Arc::<AcceptedCounters>::default();
        let service = GridService {
            environment: environment.clone(),
            process: ProcessService {
                directory,
                mailbox_prefix: keys::prefix(&config.namespace, Kind::Mailbox),
                max_message_bytes: config.max_message_bytes,
                budget: ByteBudget::new(),
            },
            health: HealthService {
                environment: environment.clone(),
                serving,
                ending: graceful.clone(),
            },
        };
        let accept = AcceptLoop {
            environment: environment.clone(),
            tasks: tasks.clone(),
            service: Arc::new(service),
            graceful: graceful.clone(),
            counters: counters.clone(),
        };
        // Joined by `shutdown`, aborted by drop; its connections end with it. It does not panic.
        let accepting = environment.spawn(accept.run(listener, abort.clone()));
        Self {
            environment,
            tasks,
            graceful,
            abort,
            accepting,
            counters,
        }
    }

    pub(crate) fn counters(&self) -> &Arc<AcceptedCounters> {
        &self.counters
    }

    /// Takes no more connections and requests, waits until the requests that are here are
    /// answered, or `bound` has passed, and ends. Dropped before its end, it aborts.
    pub(crate) async fn shutdown(mut self, bound: Duration) {
        self.graceful.cancel();
        let drained = self.environment.timeout(bound, &mut self.accepting).await;
        if drained.is_none() {
            debug!("requests are left at the end of the bound, their connections are closed");
            self.abort.cancel();
            let _ = (&mut self.accepting).await;
        }
        self.tasks.ended().await;
    }
}

impl Drop for ProcessServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
