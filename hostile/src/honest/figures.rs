//! The results of the honest callers in one phase.

use std::collections::BTreeMap;
use std::time::Duration;

use bench::LatencyHistogram;

use super::call::{CallError, CallKind};

/// The results of the honest callers in one phase.
#[derive(Debug, Clone, Default)]
pub struct HonestFigures {
    /// The number of calls.
    pub calls: u64,
    /// Failed calls, by kind and error, without starts that were rejected as busy.
    pub errors: BTreeMap<String, u64>,
    /// The starts that were rejected as busy.
    pub busy_starts: u64,
    /// The longest call that had to connect, or to start an actor.
    pub slowest_fresh: Duration,
    /// The longest call of 64 KiB or more.
    pub slowest_large: Duration,
    small: LatencyHistogram,
}

impl HonestFigures {
    /// Returns the number of failed calls.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Returns the latency that this share of the small requests did not exceed.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        self.small.quantile(share)
    }

    pub(super) fn count(&mut self, kind: CallKind, took: Duration, result: Result<(), CallError>) {
        self.calls += 1;
        match kind {
            CallKind::Small => self.small.record(took),
            CallKind::Medium | CallKind::Large => {
                self.slowest_large = self.slowest_large.max(took);
            }
            CallKind::Fresh | CallKind::Start => {
                self.slowest_fresh = self.slowest_fresh.max(took);
            }
        }
        match result {
            Ok(()) => {}
            Err(error) if error.is_busy && kind == CallKind::Start => self.busy_starts += 1,
            Err(error) => {
                let what = format!("{}: {}", kind.as_str(), error.text);
                *self.errors.entry(what).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_start_is_no_error_and_a_busy_request_is_one() {
        let mut figures = HonestFigures::default();
        let busy = || {
            Err(CallError {
                is_busy: true,
                text: "busy".to_owned(),
            })
        };
        figures.count(CallKind::Start, Duration::from_secs(1), busy());
        assert_eq!((figures.failed(), figures.busy_starts), (0, 1));
        figures.count(CallKind::Small, Duration::from_secs(2), busy());
        figures.count(CallKind::Small, Duration::from_secs(2), busy());
        assert_eq!(figures.failed(), 2);
        assert_eq!(figures.errors["small: busy"], 2);
        assert_eq!(figures.calls, 3);
        assert!(figures.latency(0.99) > Duration::from_secs(1));
    }
}
