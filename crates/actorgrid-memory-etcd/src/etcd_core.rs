//! The state that the connections of a server and its handles share.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::EtcdClock;
use crate::faults::Conditions;
use crate::state::EtcdState;

/// The state of a server with its clock, and the signals that go with them.
pub(crate) struct EtcdCore {
    clock: EtcdClock,
    state: Mutex<EtcdState>,
    /// Notified when watches have to look again.
    changed: watch::Sender<()>,
    conditions: watch::Sender<Conditions>,
    connections: AtomicUsize,
}

impl EtcdCore {
    pub(crate) fn new(clock: EtcdClock, state: EtcdState) -> Self {
        Self {
            clock,
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            conditions: watch::Sender::default(),
            connections: AtomicUsize::new(0),
        }
    }

    /// Calls `visit` with the state and the time, once all that was due has happened.
    pub(crate) fn with<R>(&self, visit: impl FnOnce(&mut EtcdState, Duration) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let before = state.stamp();
        let now = self.clock.now();
        state.settle(now);
        let result = visit(state, now);
        state.store.limit_history(&state.bounds);
        if state.stamp() != before {
            self.changed.send_replace(());
        }
        result
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn conditions(&self) -> watch::Receiver<Conditions> {
        self.conditions.subscribe()
    }

    pub(crate) fn set_conditions(&self, set: impl FnOnce(&mut Conditions)) {
        self.conditions.send_modify(set);
    }

    /// Waits until the clock has reached a time, or for ever if there is none. The clock may run at
    /// another rate than the runtime's timers, so the caller looks at it again.
    pub(crate) async fn sleep_until(&self, until: Option<Duration>) {
        match until {
            Some(until) => tokio::time::sleep(until.saturating_sub(self.clock.now())).await,
            None => std::future::pending().await,
        }
    }

    /// Counts one more connection, unless there are as many as allowed.
    pub(crate) fn connect(self: &Arc<Self>) -> Option<ConnectionPlace> {
        let max = self.with(|state, _| state.bounds.max_connections);
        let one_more = |count| (count < max).then_some(count + 1);
        let connections = &self.connections;
        let counted = connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.is_ok().then(|| ConnectionPlace(Arc::clone(self)))
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for EtcdCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdCore").finish_non_exhaustive()
    }
}

/// The place of an open connection among those that are allowed.
#[derive(Debug)]
pub(crate) struct ConnectionPlace(Arc<EtcdCore>);

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
