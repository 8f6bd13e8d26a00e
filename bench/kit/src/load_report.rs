//! The result that a load prints.

use std::time::Duration;

use crate::caller::BoxError;
use crate::tally::Tally;
use crate::window::Window;

/// The result of one run of a load, as its last line in JSON.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct LoadReport {
    /// Requests that were answered within the window.
    pub requests: u64,
    /// The length of the window.
    pub seconds: f64,
    /// Requests that failed, in the warm-up too.
    pub errors: u64,
    /// The error of the first one that failed.
    pub first_error: Option<String>,
    /// The median latency, in microseconds.
    pub p50_micros: f64,
    /// The latency that one of ten requests exceeds.
    pub p90_micros: f64,
    /// The latency that one of a hundred exceeds.
    pub p99_micros: f64,
    /// The latency that one of a thousand exceeds.
    pub p999_micros: f64,
    /// The greatest latency.
    pub max_micros: f64,
    /// The large messages beside them.
    #[serde(default)]
    pub large: Option<LargeReport>,
    /// How the calls ended when the other process was lost.
    #[serde(default)]
    pub loss: Option<LossReport>,
}

impl LoadReport {
    /// The figures of a tally.
    #[must_use]
    pub fn of(tally: &Tally, window: Window) -> Self {
        let latencies = tally.latencies();
        let quantile = |share| micros(latencies.quantile(share));
        Self {
            requests: latencies.total(),
            seconds: (window.end - window.begin).as_secs_f64(),
            errors: tally.errors(),
            first_error: tally.first_error().map(str::to_owned),
            p50_micros: quantile(0.5),
            p90_micros: quantile(0.9),
            p99_micros: quantile(0.99),
            p999_micros: quantile(0.999),
            max_micros: micros(latencies.greatest()),
            large: None,
            loss: None,
        }
    }

    /// Answered requests a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

/// The outcome of the large messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct LargeReport {
    /// Answered.
    pub answered: u64,
    /// Not sent, as two were unanswered when it was due.
    pub held_back: u64,
    /// Failed.
    pub errors: u64,
    /// The error of the first one that failed.
    pub first_error: Option<String>,
}

impl LargeReport {
    pub(crate) fn failed(&mut self, error: &dyn std::fmt::Display) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }
}

/// How the calls in flight ended when the other process was killed or frozen.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct LossReport {
    /// Answered all the same.
    pub answered: usize,
    /// Ended with an error.
    pub failed: usize,
    /// Not ended when the load gave up.
    pub unended: usize,
    /// When the last one ended, in milliseconds after the signal.
    pub last_millis: f64,
    /// An error of one that failed.
    pub first_error: Option<String>,
    /// The outcome of the calls to another process meanwhile.
    #[serde(default)]
    pub bystander: Option<BystanderReport>,
}

impl LossReport {
    pub(crate) fn ended(&mut self, after: Duration, answer: &Result<(), BoxError>) {
        match answer {
            Ok(()) => self.answered += 1,
            Err(error) => {
                self.failed += 1;
                self.first_error.get_or_insert_with(|| error.to_string());
            }
        }
        self.last_millis = self.last_millis.max(after.as_secs_f64() * 1e3);
    }
}

/// The outcome of the calls to a process that was not lost.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct BystanderReport {
    /// Answered.
    pub answered: u64,
    /// Failed.
    pub failed: u64,
    /// The longest that one took, in milliseconds.
    pub max_millis: f64,
}

impl BystanderReport {
    pub(crate) fn ended(&mut self, after: Duration, answer: &Result<(), BoxError>) {
        match answer {
            Ok(()) => self.answered += 1,
            Err(_) => self.failed += 1,
        }
        self.max_millis = self.max_millis.max(after.as_secs_f64() * 1e3);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.max_millis = self.max_millis.max(other.max_millis);
    }
}

fn micros(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1e6
}
