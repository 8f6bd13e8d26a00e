//! Limits how often connecting to the endpoints of etcd is attempted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::back_off::{BackOff, BackOffPolicy, RandomShare};
use crate::environment::{Environment, Timestamp};
use crate::registry::RegistryError;

/// A peer has two handles, and both may attempt to connect when a pause is over: six times in the
/// first second, and four times in each second after that. An etcd that is back is found within a
/// second.
const BACK_OFF: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(200),
    Duration::from_secs(1),
    RandomShare::Half,
);

/// After this many attempts within a second, at all endpoints together, an endpoint that failed is
/// not retried yet.
const BUSY_SECOND_ATTEMPTS: usize = 8;
const SECOND: Duration = Duration::from_secs(1);

/// The latest attempts to connect to any endpoint, by all handles.
#[derive(Default)]
pub(super) struct AttemptPace(Mutex<VecDeque<Timestamp>>);

/// The failed attempts to connect to one endpoint, by all handles on it.
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
        if latest.len() == BUSY_SECOND_ATTEMPTS {
            latest.pop_front();
        }
        latest.push_back(now);
    }

    /// Returns how long it is until the last second contains few enough attempts.
    fn pause(&self, now: Timestamp) -> Duration {
        let latest = self.lock();
        let full = latest
            .front()
            .filter(|_| latest.len() == BUSY_SECOND_ATTEMPTS);
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

    /// Returns the attempts of the same endpoint, without what is known about it.
    pub(super) fn anew(&self) -> Self {
        Self::new(Arc::clone(&self.pace))
    }

    /// Records that an attempt begins.
    pub(super) fn begin(&self, now: Timestamp) {
        self.pace.begin(now);
    }

    /// Returns how long it is until the next attempt may begin, and why the last one failed.
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

    /// Records that a connection was used successfully.
    pub(super) fn succeeded(&self) {
        let mut state = self.lock();
        state.back_off.reset();
        state.failure = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
