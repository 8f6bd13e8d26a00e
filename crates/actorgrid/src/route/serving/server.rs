//! The server of a peer's wire port, for links and the unary gRPC route: starts and ends the accept
//! loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::accept::AcceptLoop;
use super::bounds::WireBounds;
use super::counters::ServingCounters;
use super::grid_service::GridService;
use super::health::HealthService;
use super::process::ProcessService;
use crate::environment::{Environment, Listener};
use crate::name::Namespace;
use crate::registry::{Incarnation, Kind, keys};
use crate::route::admission::Serving;
use crate::route::budget::ByteBudget;
use crate::route::directory::Directory;
use crate::route::link::serving::LinkService;
use crate::route::tasks::Tasks;

/// The settings of a [`ProcessServer`].
#[derive(Debug, Clone)]
pub(crate) struct ServerConfig {
    pub(crate) namespace: Namespace,
    /// The size limit of messages that are accepted, and of replies. It applies to the message
    /// alone for our clients, and includes the envelope for others, as in the Go library.
    pub(crate) max_message_bytes: usize,
    pub(crate) bounds: WireBounds,
    /// The incarnation of the process, which links state; `None` turns links off.
    pub(crate) incarnation: Option<Incarnation>,
}

/// The bytes that a wire port holds for its clients now, and has held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HeldBytes {
    /// Messages that are queued, or wait for a name to be decided.
    pub(crate) queued: u64,
    /// The room that arriving messages have reserved.
    pub(crate) arriving: u64,
    /// The most that messages have occupied at once.
    pub(crate) received_peak: u64,
    /// Replies that are not sent yet, and the room reserved for replies to large requests.
    pub(crate) replies: u64,
    /// The most that replies have occupied at once.
    pub(crate) replies_peak: u64,
    /// The number of replies for which there was no room.
    pub(crate) replies_lost: u64,
}

/// The counters of a wire port, and the use of its budgets. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ServingGauges {
    pub(crate) counters: Arc<ServingCounters>,
    received: ByteBudget,
    replies: ByteBudget,
    /// Makes the accept loop panic at the next connection.
    #[cfg(test)]
    pub(crate) defect: Arc<std::sync::atomic::AtomicBool>,
}

impl ServingGauges {
    pub(crate) fn held(&self) -> HeldBytes {
        let (received, replies) = (self.received.current(), self.replies.current());
        HeldBytes {
            queued: received.queued as u64,
            arriving: received.arriving as u64,
            received_peak: self.received.peak() as u64,
            replies: (replies.queued + replies.arriving) as u64,
            replies_peak: self.replies.peak() as u64,
            replies_lost: self.replies.refusals(),
        }
    }
}

/// Serves the mailboxes of a peer over links and the unary route, and reports its health.
///
/// Dropping it ends all connections at once.
pub(crate) struct ProcessServer {
    environment: Environment,
    tasks: Tasks,
    graceful: CancellationToken,
    abort: CancellationToken,
    accepting: JoinHandle<()>,
    deaths: watch::Receiver<u64>,
    gauges: ServingGauges,
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
        let gauges = ServingGauges {
            counters: Arc::default(),
            received: ByteBudget::new(config.bounds.received),
            replies: ByteBudget::new(config.bounds.replies),
            #[cfg(test)]
            defect: Arc::default(),
        };
        let link = config.incarnation.map(|incarnation| {
            LinkService::new(
                directory.clone(),
                config.namespace.clone(),
                config.max_message_bytes,
                incarnation,
                config.bounds.max_streams,
                config.bounds.received.per_connection,
            )
        });
        let service = GridService {
            process: ProcessService {
                directory,
                mailbox_prefix: keys::prefix(&config.namespace, Kind::Mailbox),
                max_message_bytes: config.max_message_bytes,
            },
            health: HealthService {
                environment: environment.clone(),
                serving,
                ending: graceful.clone(),
            },
            link: link.map(Arc::new),
        };
        let accept = AcceptLoop {
            environment: environment.clone(),
            tasks: tasks.clone(),
            service: Arc::new(service),
            graceful: graceful.clone(),
            counters: gauges.counters.clone(),
            received: gauges.received.clone(),
            under_way: ByteBudget::new(config.bounds.under_way()),
            replies: gauges.replies.clone(),
            max_streams: config.bounds.max_streams,
            max_connections: config.bounds.max_connections,
            exempt: config.bounds.proxies,
            #[cfg(test)]
            defect: gauges.defect.clone(),
        };
        let (died, deaths) = watch::channel(0);
        // Joined by `shutdown`, aborted by drop; its connections end with it. A panic is a defect
        // in this library: it is reported, and the loop starts again on the same listener.
        let accepting = environment.spawn(accept.run(listener, abort.clone(), died));
        Self {
            environment,
            tasks,
            graceful,
            abort,
            accepting,
            deaths,
            gauges,
        }
    }

    pub(crate) fn gauges(&self) -> &ServingGauges {
        &self.gauges
    }

    /// Returns how often the accept loop has died. It restarts without connections.
    pub(crate) fn deaths(&self) -> &watch::Receiver<u64> {
        &self.deaths
    }

    /// Accepts no more connections and requests, waits until the current requests are answered or
    /// `bound` has passed, and ends. If the future is dropped before that, everything is aborted.
    pub(crate) async fn shutdown(mut self, bound: Duration) {
        self.graceful.cancel();
        let drained = self.environment.timeout(bound, &mut self.accepting).await;
        if drained.is_none() {
            debug!("requests are left at the end of the bound, closing their connections");
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
