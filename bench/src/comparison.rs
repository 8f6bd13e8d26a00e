//! Which measurements count in a comparison, and what follows from them.

use std::fmt;

use crate::measurement::Measurement;

/// A measurement beside which other processes used more of the machine does not count.
const MAX_FOREIGN_SHARE: f64 = 0.08;
/// A measurement during which the hypervisor took more of the machine does not count.
const MAX_STEAL_SHARE: f64 = 0.04;

/// Whether a measurement had the machine to itself, as far as one can ask.
#[must_use]
pub fn is_quiet(measurement: &Measurement) -> bool {
    measurement.foreign_share <= MAX_FOREIGN_SHARE && measurement.steal_share <= MAX_STEAL_SHARE
}

/// The ratios of several rounds, each the current tree's requests per second by those of the base.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatioSummary {
    /// The median; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many there are.
    pub rounds: usize,
}

impl RatioSummary {
    /// Summarizes the ratios, `None` if there are none.
    #[must_use]
    pub fn of(ratios: &[f64]) -> Option<Self> {
        let mut sorted = ratios.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], upper)
        } else {
            upper
        };
        Some(Self {
            median,
            min: sorted[0],
            max: sorted[sorted.len() - 1],
            rounds: sorted.len(),
        })
    }
}

impl fmt::Display for RatioSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, min, max) = (self.median, self.min, self.max);
        write!(
            f,
            "median {median:.3} (min {min:.3}, max {max:.3}, rounds {})",
            self.rounds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::LoadCase;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |ratios: &[f64]| RatioSummary::of(ratios).unwrap();
        assert_eq!(of(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        let summary = of(&[1.5]);
        assert_eq!((summary.min, summary.max, summary.rounds), (1.5, 1.5, 1));
        let summary = of(&[1.1, 0.9, 1.0]);
        assert_eq!((summary.min, summary.max), (0.9, 1.1));
        assert_eq!(RatioSummary::of(&[]), None);
    }

    #[test]
    fn noise_of_either_kind_spoils_a_measurement() {
        let quiet = |foreign_share, steal_share| {
            is_quiet(&Measurement {
                case: LoadCase::all()[0],
                seconds: 3.0,
                requests_per_second: 1.0,
                p50_micros: 1.0,
                p99_micros: 1.0,
                caller_cpu_micros: 1.0,
                actor_cpu_micros: 1.0,
                foreign_share,
                steal_share,
            })
        };
        assert!(quiet(0.0, 0.0));
        assert!(quiet(0.08, 0.04));
        assert!(!quiet(0.081, 0.0));
        assert!(!quiet(0.0, 0.041));
    }
}
