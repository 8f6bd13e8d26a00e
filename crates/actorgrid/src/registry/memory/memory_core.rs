//! The core of a memory registry, which all its handles and watches share.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::call::{CallOutcome, meet};
use super::operation::MemoryOperation;
use super::state::MemoryState;
use super::store::Store;
use crate::environment::{Environment, Timestamp};
use crate::registry::RegistryError;
use crate::revision::Revision;
use crate::token::ClusterId;

/// The core of one memory registry. No lock is held across an await.
pub(super) struct MemoryCore {
    pub(super) environment: Environment,
    state: Mutex<MemoryState>,
    /// Wakes the watches when they have to look at the state.
    pub(super) moved: Notify,
}

impl MemoryCore {
    pub(super) fn new(environment: &Environment) -> Self {
        // Microseconds grow faster than names are claimed, so a new registry starts after the last
        // revision of the previous one. They fit into 63 bits for 290,000 years.
        let start = i64::try_from(environment.wall_clock_micros()).unwrap_or(i64::MAX / 2);
        let store = Store::new(Revision::new(start.max(1)));
        Self {
            environment: environment.clone(),
            state: Mutex::new(MemoryState::new(ClusterId(environment.random_u64()), store)),
            moved: Notify::new(),
        }
    }

    /// Accesses the state at the current time, after everything that was due has happened.
    pub(super) fn with<T>(&self, access: impl FnOnce(&mut MemoryState, Timestamp) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.environment.now();
        let before = state.mark();
        state.advance(now);
        let result = access(&mut state, now);
        let after = state.mark();
        drop(state);
        if before.wakes(after) {
            self.moved.notify_waiters();
        }
        result
    }

    /// Runs one exchange. Nothing happens before the first poll, and everything happens during it
    /// unless a fault interferes.
    pub(super) async fn call<T, F>(
        self: &Arc<Self>,
        operation: MemoryOperation,
        request: F,
    ) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Store, Timestamp) -> Result<T, RegistryError> + Send + 'static,
    {
        match self.with(|state, now| meet(state, now, operation, request)) {
            CallOutcome::Answered(answer) => answer,
            CallOutcome::Unanswered => pending().await,
            CallOutcome::Delayed(due, reply) => self.delayed(due, reply).await,
        }
    }

    async fn delayed<T>(
        &self,
        due: Timestamp,
        mut reply: oneshot::Receiver<Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        loop {
            tokio::select! {
                biased;
                reply = &mut reply => match reply {
                    Ok(answer) => return answer,
                    // The registry was unavailable when the request arrived.
                    Err(_) => return pending().await,
                },
                // Nothing else might look at that time.
                () = self.environment.sleep_until(due) => self.with(|_, _| ()),
            }
        }
    }
}
