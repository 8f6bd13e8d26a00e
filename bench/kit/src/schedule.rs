//! When the requests of an open loop are due.

use std::time::{Duration, Instant};

/// Requests at a fixed rate, whatever became of those before.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start: Instant,
    per_second: f64,
}

impl Schedule {
    /// `per_second` requests a second, the first one at `start`.
    #[must_use]
    pub fn new(start: Instant, per_second: f64) -> Self {
        Self { start, per_second }
    }

    /// When the request with this number is to be sent; the first has the number 0.
    #[must_use]
    pub fn due(&self, number: u64) -> Instant {
        // Not by adding intervals, whose rounding would add up.
        self.start + Duration::from_secs_f64(number as f64 / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_does_not_drift() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 3_000.0);
        assert_eq!(schedule.due(0), start);
        assert_eq!(schedule.due(1) - start, Duration::from_nanos(333_333));
        assert_eq!(schedule.due(3_000_000) - start, Duration::from_secs(1_000));
    }
}
