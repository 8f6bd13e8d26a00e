//! The state that the routes of a pool share: settings, tasks, and whether the pool is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::counter::Counter;
use crate::environment::Environment;
use crate::error::{RequestError, RequestErrorKind};
use crate::route::link::calling::LinkClient;
use crate::route::tasks::Tasks;

/// The settings of a [`Pool`](super::Pool).
#[derive(Debug, Clone)]
pub(crate) struct PoolConfig {
    /// The common prefix of the keys of all mailboxes in the grid.
    pub(crate) mailbox_prefix: String,
    /// The size limit of messages that are sent and of replies that are accepted, without
    /// envelopes.
    pub(crate) max_message_bytes: usize,
    /// At least one. One is enough unless individual calls to one peer keep a whole processor busy.
    pub(crate) connections_per_peer: usize,
    /// The namespace of the grid, if links are to be used.
    pub(crate) link_namespace: Option<String>,
}

/// Counts the connections of a pool: opened, failed to open, ended.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounters {
    pub(crate) opened: Counter,
    pub(crate) failed: Counter,
    pub(crate) ended: Counter,
}

/// The state that the routes of a pool share.
pub(super) struct PoolCore {
    pub(super) environment: Environment,
    pub(super) mailbox_prefix: String,
    pub(super) max_message_bytes: usize,
    pub(super) connections_per_peer: usize,
    pub(super) tasks: Tasks,
    pub(super) connections: Arc<ConnectionCounters>,
    /// None if no links are to be used.
    pub(super) link_client: Option<Arc<LinkClient>>,
    /// Copies the state of `closed` for the check of each call, because a token takes a lock.
    is_closed: AtomicBool,
    pub(super) closed: CancellationToken,
}

impl PoolCore {
    pub(super) fn new(environment: Environment, config: PoolConfig) -> Self {
        let link_client = config.link_namespace.and_then(|namespace| {
            LinkClient::new(&environment, &namespace, config.max_message_bytes)
                .inspect_err(
                    |error| warn!(%error, "no links are used: there is no secret for them"),
                )
                .ok()
                .map(Arc::new)
        });
        Self {
            link_client,
            tasks: Tasks::new(environment.clone()),
            environment,
            mailbox_prefix: config.mailbox_prefix,
            max_message_bytes: config.max_message_bytes,
            connections_per_peer: config.connections_per_peer.max(1),
            connections: Arc::default(),
            is_closed: AtomicBool::new(false),
            closed: CancellationToken::new(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.closed.cancel();
    }

    /// Reports a connection that was lost because the pool was closed as
    /// [`ClientClosed`](RequestErrorKind::ClientClosed).
    pub(super) fn lost_or_closed(&self, error: RequestError) -> RequestError {
        if error.kind() == RequestErrorKind::ConnectionLost && self.is_closed() {
            let closed = Self::closed_error();
            return RequestError::new(closed.kind(), error.executed(), closed.text());
        }
        error
    }

    pub(super) fn closed_error() -> RequestError {
        RequestError::refused(RequestErrorKind::ClientClosed, "the client is closed")
    }
}
