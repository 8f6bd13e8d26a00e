//! Exponential back-off: how long to wait after consecutive failures. Pure.

use std::time::Duration;

/// The part of a pause that is random, so that callers that failed together do not retry together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RandomShare {
    /// Between half of the step and all of it.
    Half,
    /// Between three quarters of the step and all of it.
    Quarter,
}

/// The pauses after consecutive failures: a step that doubles with each failure, up to a last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackOffPolicy {
    first_step: Duration,
    last_step: Duration,
    random_share: RandomShare,
}

impl BackOffPolicy {
    pub(crate) const fn new(
        first_step: Duration,
        last_step: Duration,
        random_share: RandomShare,
    ) -> Self {
        Self {
            first_step,
            last_step,
            random_share,
        }
    }

    /// Returns the longest possible pause.
    pub(crate) const fn last_step(self) -> Duration {
        self.last_step
    }

    /// Returns the pause after this many consecutive failures: zero without a failure, the first
    /// step after the first one. `random_unit` is uniform in `[0, 1)`.
    pub(crate) fn after(self, failures: u32, random_unit: f64) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let step = 1_u32
            .checked_shl(doublings)
            .map_or(self.last_step, |times| {
                self.first_step.saturating_mul(times).min(self.last_step)
            });
        step.mul_f64(match self.random_share {
            RandomShare::Half => 0.5 + 0.5 * random_unit,
            RandomShare::Quarter => 0.75 + 0.25 * random_unit,
        })
    }
}

/// Counts the consecutive failures of one operation that is retried.
#[derive(Debug, Clone)]
pub(crate) struct BackOff {
    policy: BackOffPolicy,
    failures: u32,
}

impl BackOff {
    pub(crate) const fn new(policy: BackOffPolicy) -> Self {
        Self {
            policy,
            failures: 0,
        }
    }

    /// Counts one more failure, and returns the pause after it. `random_unit` is uniform in
    /// `[0, 1)`.
    pub(crate) fn next(&mut self, random_unit: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.policy.after(self.failures, random_unit)
    }

    /// Records a success: the next failure counts as the first one.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const HALF: BackOffPolicy = BackOffPolicy::new(ms(1), ms(100), RandomShare::Half);
    const QUARTER: BackOffPolicy = BackOffPolicy::new(ms(100), ms(5_000), RandomShare::Quarter);

    #[test]
    fn the_step_doubles_to_the_last_one() {
        for (policy, failures, pause) in [
            (HALF, 0, 0),
            (HALF, 1, 1),
            (HALF, 2, 2),
            (HALF, 7, 64),
            (HALF, 8, 100),
            (HALF, 32, 100),
            (HALF, 33, 100),
            (HALF, 34, 100),
            (HALF, u32::MAX, 100),
            (QUARTER, 0, 0),
            (QUARTER, 1, 100),
            (QUARTER, 2, 200),
            (QUARTER, 6, 3_200),
            (QUARTER, 7, 5_000),
            (QUARTER, u32::MAX, 5_000),
        ] {
            assert_eq!(policy.after(failures, 1.0), ms(pause), "{failures}");
        }
        assert_eq!(
            (HALF.last_step(), QUARTER.last_step()),
            (ms(100), ms(5_000))
        );
    }

    #[test]
    fn a_first_step_beyond_the_last_one_is_cut_too() {
        let constant = BackOffPolicy::new(ms(100), ms(60), RandomShare::Half);
        assert_eq!(constant.after(1, 1.0), ms(60));
        let greatest = BackOffPolicy::new(Duration::MAX, ms(60), RandomShare::Half);
        assert_eq!(greatest.after(9, 1.0), ms(60));
    }

    #[test]
    fn a_share_of_each_pause_is_random() {
        for (policy, failures, pauses) in [
            (HALF, 5, [8, 12, 16]),
            (HALF, 9, [50, 75, 100]),
            (QUARTER, 3, [300, 350, 400]),
            (QUARTER, 9, [3_750, 4_375, 5_000]),
        ] {
            let seen = [0.0, 0.5, 1.0].map(|random_unit| policy.after(failures, random_unit));
            assert_eq!(seen, pauses.map(ms), "{failures}");
        }
        assert_eq!(HALF.after(0, 0.5), Duration::ZERO);
    }

    #[test]
    fn failures_are_counted_until_it_works() {
        let mut back_off = BackOff::new(QUARTER);
        let next = |back_off: &mut BackOff| back_off.next(1.0);
        assert_eq!(next(&mut back_off), ms(100));
        assert_eq!(next(&mut back_off), ms(200));
        assert_eq!(back_off.next(0.0), ms(300));
        back_off.reset();
        assert_eq!(next(&mut back_off), ms(100));
        assert_eq!(next(&mut back_off), ms(200));
        back_off.failures = u32::MAX;
        assert_eq!(next(&mut back_off), ms(5_000));
        assert_eq!(next(&mut back_off), ms(5_000));
    }
}
