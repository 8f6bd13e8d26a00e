//! When a connection to an endpoint of etcd may be tried again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::back_off::{BackOff, BackOffPolicy, RandomShare};
use crate::environment::{Environment, Timestamp};
use crate::registry::RegistryError;

/// A peer has two handles, and both may try when a pause is over: six times in the first second,
/// four times in each that follows. An etcd that is back is found within a second.
const BACK_OFF: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(200),
    Duration::from_secs(1),
    RandomShare::Half,
);

/// The attempts to connect to one endpoint that failed, for all handles on it.
pub(super) struct Attempts(Mutex<State>);

struct State {
    back_off: BackOff,
    next: Timestamp,
    failure: Option<RegistryError>,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            back_off: BackOff::new(BACK_OFF),
            next: Timestamp::ZERO,
            failure: None,
        }))
    }

    /// How long it is until the next attempt may be made, and why the last one failed.
    pub(super) fn pause(&self, now: Timestamp) -> Option<(Duration, RegistryError)> {
        let state = self.lock();
        let left = state.next.since(now);
        let failure = state.failure.as_ref().filter(|_| !left.is_zero())?;
        Some((left, failure.clone()))
    }

    pub(super) fn is_pausing(&self, now: Timestamp) -> bool {
        let state = self.lock();
        state.failure.is_some() && state.next > now
    }

    pub(super) fn failed(&self, environment: &Environment, failure: RegistryError) {
        let (now, random_unit) = (environment.now(), environment.random_unit());
        let mut state = self.lock();
        state.next = now + state.back_off.next(random_unit);
        state.failure = Some(failure);
    }

    /// A connection has been of use.
    pub(super) fn succeeded(&self) {
        let mut state = self.lock();
        state.back_off.reset();
        state.failure = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
