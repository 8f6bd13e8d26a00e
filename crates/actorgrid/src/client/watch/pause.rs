//! How long to wait before a watch that broke is opened again. Pure.

use std::time::Duration;

/// The first pause. A registry that takes watches and drops them at once is asked ten times a
/// second at first, and a break that was a single one is hardly noticed.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause: what a watch is late by at the most when the registry is back.
const MAX: Duration = Duration::from_secs(5);
/// A watch that was open for so long has stood: no registry is hammered by opening one each time.
pub(in crate::client) const STOOD: Duration = MAX;

/// The pauses of one watch: they double while no watch comes to stand. A part of each is random, so
/// that a thousand watches that broke together do not come back together.
#[derive(Debug)]
pub(in crate::client) struct WatchPauses {
    next: Duration,
}

impl WatchPauses {
    pub(in crate::client) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The last watch stood for a while, or told changes.
    pub(in crate::client) fn stood(&mut self) {
        self.next = FIRST;
    }

    /// The pause that is due now: three quarters of the step, to the whole of it with a
    /// `random_unit` of 1.
    pub(in crate::client) fn next(&mut self, random_unit: f64) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(MAX);
        step.mul_f64(0.75 + 0.25 * random_unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(pauses: &mut WatchPauses, random_unit: f64) -> u128 {
        pauses.next(random_unit).as_millis()
    }

    #[test]
    fn double_to_their_limit() {
        let mut pauses = WatchPauses::new();
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            assert_eq!(millis(&mut pauses, 1.0), expected);
        }
        assert_eq!(millis(&mut pauses, 0.0), 3750);
    }

    #[test]
    fn begin_anew_after_a_watch_that_stood() {
        let mut pauses = WatchPauses::new();
        assert_eq!(millis(&mut pauses, 0.0), 75);
        assert_eq!(millis(&mut pauses, 0.0), 150);
        pauses.stood();
        assert_eq!(millis(&mut pauses, 0.0), 75);
        assert_eq!(millis(&mut pauses, 1.0), 200);
    }
}
