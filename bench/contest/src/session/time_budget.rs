//! How long noisy rounds may be repeated.

use std::time::{Duration, Instant};

/// The time of a session, shared out among its scenarios by what they are expected to take: a noisy
/// hour is not to be spent on the first of them.
#[derive(Debug, Clone)]
pub(super) struct TimeBudget {
    begin: Instant,
    /// None if the session may take as long as it takes.
    total: Option<Duration>,
    expected: Vec<f64>,
}

impl TimeBudget {
    /// Shares `total` out among scenarios that are expected to take so many seconds each.
    pub(super) fn new(begin: Instant, total: Option<Duration>, expected: Vec<f64>) -> Self {
        Self {
            begin,
            total,
            expected,
        }
    }

    /// When the scenario with this index repeats nothing any more.
    pub(super) fn repeats_until(&self, index: usize) -> Option<Instant> {
        let so_far: f64 = self.expected.iter().take(index + 1).sum();
        let all: f64 = self.expected.iter().sum();
        let share = if all > 0.0 { so_far / all } else { 1.0 };
        Some(self.begin + self.total?.mul_f64(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scenario_has_its_share_and_what_those_before_it_left() {
        let begin = Instant::now();
        let minute = Duration::from_secs(60);
        let budget = TimeBudget::new(begin, Some(minute), vec![10.0, 20.0, 10.0]);
        let ends = [0, 1, 2].map(|index| budget.repeats_until(index).unwrap() - begin);
        assert_eq!(ends, [minute / 4, minute * 3 / 4, minute]);
        let endless = TimeBudget::new(begin, None, vec![1.0]);
        assert_eq!(endless.repeats_until(0), None);
    }
}
