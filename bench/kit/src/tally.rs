//! Counts the requests of a run that were answered, and those that failed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::caller::BoxError;
use crate::latency_histogram::LatencyHistogram;

/// Latencies that a caller keeps before it adds them to the tally of all. A histogram for each of a
/// thousand callers would fill the caches, and a lock for each answer would cost more than some
/// answers do.
const KEPT: usize = 32;

/// Requests that were answered in time, and those that failed.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    latencies: LatencyHistogram,
    errors: u64,
    first_error: Option<String>,
}

impl Tally {
    /// The tally of a run that failed as a whole.
    #[must_use]
    pub fn all_failed(error: &dyn std::fmt::Display) -> Self {
        let mut tally = Self::default();
        tally.failed(error);
        tally
    }

    /// Counts an answer.
    pub fn answered(&mut self, latency: Duration) {
        self.latencies.record(latency);
    }

    /// Counts a request that failed.
    pub fn failed(&mut self, error: &dyn std::fmt::Display) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    /// The latencies of all answers.
    #[must_use]
    pub fn latencies(&self) -> &LatencyHistogram {
        &self.latencies
    }

    /// How many requests failed.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The error of the first one that failed.
    #[must_use]
    pub fn first_error(&self) -> Option<&str> {
        self.first_error.as_deref()
    }
}

/// The share of one caller in a tally of several: what it keeps is added when it is dropped.
#[derive(Debug)]
pub struct CallerTally {
    all: Arc<Mutex<Tally>>,
    kept: Vec<Duration>,
}

impl CallerTally {
    /// A share of a tally.
    #[must_use]
    pub fn of(all: &Arc<Mutex<Tally>>) -> Self {
        Self {
            all: Arc::clone(all),
            kept: Vec::with_capacity(KEPT),
        }
    }

    /// Counts an answer.
    pub fn answered(&mut self, latency: Duration) {
        self.kept.push(latency);
        if self.kept.len() == KEPT {
            self.add_kept();
        }
    }

    /// Counts a request that failed.
    pub fn failed(&mut self, error: &BoxError) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.failed(error);
    }

    fn add_kept(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for latency in self.kept.drain(..) {
            all.answered(latency);
        }
    }
}

impl Drop for CallerTally {
    fn drop(&mut self) {
        self.add_kept();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_callers_add_up() {
        let all = Arc::new(Mutex::new(Tally::default()));
        for _ in 0..3 {
            let mut one = CallerTally::of(&all);
            for nanos in 1..=50 {
                one.answered(Duration::from_nanos(nanos));
            }
            one.failed(&"no".into());
        }
        let all = all.lock().unwrap();
        assert_eq!(all.latencies().total(), 150);
        assert_eq!(all.latencies().greatest(), Duration::from_nanos(50));
        assert_eq!((all.errors(), all.first_error()), (3, Some("no")));
    }
}
