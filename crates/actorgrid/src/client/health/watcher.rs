//! Determines each state of a health watch.

use std::sync::Arc;
use std::time::Duration;

use super::health::Health;
use crate::address::Address;
use crate::back_off::{BackOffPolicy, RandomShare};
use crate::client::core::ClientCore;
use crate::environment::Timestamp;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::name::Name;
use crate::registry::{Capabilities, Kind};
use crate::route::calling::HealthStream;

/// The pauses before a peer that cannot be watched is tried again, less a random share of up to
/// half: the watchers of a peer that comes back must not all connect at once.
const PAUSE: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(100),
    Duration::from_secs(5),
    RandomShare::Half,
);
/// How long a peer has to report its first state, including the connection. That takes a peer two
/// round trips; a peer that is connected and takes longer is of no use to anybody.
const FIRST_STATE_LIMIT: Duration = Duration::from_secs(5);

/// Determines the next state of a peer when it is asked for it.
pub(super) struct HealthWatcher {
    core: Arc<ClientCore>,
    peer: Name,
    /// The last state that was reported.
    reported: Option<Health>,
    /// The stream on which the peer reports its states, and when it was opened.
    watching: Option<(HealthStream, Timestamp)>,
    /// The last known address of the peer, which is tried while the registry is unavailable.
    found: Option<(Address, Capabilities)>,
    unregistered: bool,
    /// Tries to watch since the last one that lasted.
    tries: u32,
}

impl HealthWatcher {
    pub(super) const fn new(core: Arc<ClientCore>, peer: Name) -> Self {
        Self {
            core,
            peer,
            reported: None,
            watching: None,
            found: None,
            unregistered: false,
            tries: 0,
        }
    }

    /// Returns the next state that differs from the last one; `None` once the client is closed.
    pub(super) async fn next(&mut self) -> Option<Health> {
        let core = self.core.clone();
        let changed = async {
            loop {
                let now = self.step().await;
                if self.reported != Some(now) {
                    self.reported = Some(now);
                    return now;
                }
            }
        };
        tokio::select! {
            biased;
            () = core.pool.closed() => None,
            health = changed => Some(health),
        }
    }

    /// Waits for the next event, and returns the state after it.
    async fn step(&mut self) -> Health {
        if let Some((stream, since)) = &mut self.watching {
            match stream.next().await {
                Ok(Some(status)) => return status.into(),
                Ok(None) => tracing::debug!(peer = %self.peer, "a watch of health has ended"),
                Err(error) => tracing::debug!(%error, peer = %self.peer, "a watch of health broke"),
            }
            // A watch that lasted is reopened at once: only its connection may be gone.
            if self.core.environment().now().since(*since) >= PAUSE.last_step() {
                self.tries = 0;
            }
            self.watching = None;
        }
        self.hold_back().await;
        let health = self.open().await;
        self.unregistered = health == Health::Unregistered;
        health
    }

    /// Waits before the next try. For a peer that is not registered, also waits until it is.
    async fn hold_back(&mut self) {
        let environment = self.core.environment();
        let pause = environment.sleep(PAUSE.after(self.tries, environment.random_unit()));
        self.tries = self.tries.saturating_add(1);
        let registered = async {
            if self.unregistered {
                // Fails only for an invalid namespace, which was already checked.
                let _ = self.core.wait_for_name(Kind::Peer, &self.peer).await;
            }
        };
        tokio::join!(pause, registered);
    }

    async fn open(&mut self) -> Health {
        let core = &self.core;
        match self.core.find(Kind::Peer, &self.peer).await {
            Ok(Some(found)) => self.found = Some((found.address, found.capabilities)),
            Ok(None) => {
                self.found = None;
                return Health::Unregistered;
            }
            Err(error) => tracing::debug!(%error, peer = %self.peer, "finding the peer failed"),
        }
        let Some((address, capabilities)) = &self.found else {
            return Health::Unknown;
        };
        let route = core.pool.route(address, *capabilities).into_process();
        let opened = async {
            let mut stream = route.watch_health().await?;
            let first = stream.next().await?;
            Ok((stream, first))
        };
        let opened = core.environment().timeout(FIRST_STATE_LIMIT, opened).await;
        match opened.unwrap_or_else(|| Err(RequestError::deadline(Executed::No))) {
            Ok((stream, first)) => {
                self.watching = Some((stream, core.environment().now()));
                first.map_or(Health::Unknown, Health::from)
            }
            Err(error) => {
                let peer = &self.peer;
                tracing::debug!(%error, %peer, "the health of a peer cannot be watched");
                match error.kind() {
                    RequestErrorKind::Unknown | RequestErrorKind::UnexpectedReply => {
                        Health::Unknown
                    }
                    _ => Health::Unreachable,
                }
            }
        }
    }
}
