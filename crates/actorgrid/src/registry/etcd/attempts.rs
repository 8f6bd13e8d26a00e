//! When a connection to an endpoint of etcd may be tried again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
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

/// The attempts in a second, at all endpoints together, from which on one that failed is not tried
/// again yet.
const BUSY_SECOND: usize = 8;
const SECOND: Duration = Duration::from_secs(1);

/// The latest attempts to connect to any endpoint, of all handles.
#[derive(Default)]
pub(super) struct AttemptPace(Mutex<VecDeque<Timestamp>>);

/// The attempts to connect to one endpoint that failed, for all handles on it.
pub(super) struct Attempts {
    pace: Arc<AttemptPace>,
    state: Mutex<State>,
}

struct State {
    back_off: BackOff,
    next: Timestamp,
    failure: Option<RegistryError>,
}

impl AttemptPace {
    fn begin(&self, now: Timestamp) {
        let mut latest = self.lock();
        if latest.len() == BUSY_SECOND {
            latest.pop_front();
        }
        latest.push_back(now);
    }

    /// How long it is until there were few enough in the last second.
    fn pause(&self, now: Timestamp) -> Duration {
        let latest = self.lock();
        let full = latest.front().filter(|_| latest.len() == BUSY_SECOND);
        full.map_or(Duration::ZERO, |first| (*first + SECOND).since(now))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempts {
    pub(super) fn new(pace: Arc<AttemptPace>) -> Self {
        let state = Mutex::new(State {
            back_off: BackOff::new(BACK_OFF),
            next: Timestamp::ZERO,
            failure: None,
        });
        Self { pace, state }
    }

    /// Of the same endpoint, of which nothing is known.
    pub(super) fn anew(&self) -> Self {
        Self::new(Arc::clone(&self.pace))
    }

    /// An attempt is made.
    pub(super) fn begin(&self, now: Timestamp) {
        self.pace.begin(now);
    }

    /// How long it is until the next attempt may be made, and why the last one failed.
    pub(super) fn pause(&self, now: Timestamp) -> Option<(Duration, RegistryError)> {
        let state = self.lock();
        let left = state.next.since(now).max(self.pace.pause(now));
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
