//! The results of the honest callers in one phase.

use std::collections::BTreeMap;
use std::time::Duration;

use bench::LatencyHistogram;

use super::call::{CallError, CallKind, HonestRoute};

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
    small_over_link: LatencyHistogram,
    small_over_grpc: LatencyHistogram,
}

impl HonestFigures {
    /// Returns the number of failed calls.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Returns the latency that this share of the small requests over each route did not exceed, in
    /// the order of [`HonestRoute::ALL`].
    #[must_use]
    pub fn latencies(&self, share: f64) -> [Duration; 2] {
        [&self.small_over_link, &self.small_over_grpc].map(|small| small.quantile(share))
    }

    pub(super) fn count(
        &mut self,
        route: HonestRoute,
        kind: CallKind,
        took: Duration,
        result: Result<(), CallError>,
    ) {
        self.calls += 1;
        match kind {
            CallKind::Small => match route {
                HonestRoute::Link => self.small_over_link.record(took),
                HonestRoute::Grpc => self.small_over_grpc.record(took),
            },
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
                let what = format!("{} over {}: {}", kind.as_str(), route.as_str(), error.text);
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
        let mut count = |kind, seconds| {
            figures.count(
                HonestRoute::Grpc,
                kind,
                Duration::from_secs(seconds),
                busy(),
            );
        };
        count(CallKind::Start, 1);
        count(CallKind::Small, 2);
        count(CallKind::Small, 2);
        assert_eq!((figures.failed(), figures.busy_starts), (2, 1));
        assert_eq!(figures.errors["small over gRPC: busy"], 2);
        assert_eq!(figures.calls, 3);
        let [link, grpc] = figures.latencies(0.99);
        assert!(link.is_zero() && grpc > Duration::from_secs(1));
    }
}
