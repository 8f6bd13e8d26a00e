//! Counts latencies in buckets that are at most 3 % wide.

use std::time::Duration;

/// Each power of two is divided in so many buckets.
const STEPS: u64 = 32;
/// Buckets for all 64 bits of nanoseconds.
const BUCKETS: usize = 64 * STEPS as usize;

/// How often latencies of each size were seen.
#[derive(Debug, Clone)]
pub struct LatencyHistogram {
    counts: Vec<u64>,
    total: u64,
    greatest: Duration,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl LatencyHistogram {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            greatest: Duration::ZERO,
        }
    }

    /// Counts a latency.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.greatest = self.greatest.max(latency);
    }

    /// Counts all that another one has counted.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.greatest = self.greatest.max(other.greatest);
    }

    /// How many were recorded.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The greatest latency, exactly; zero if there are none.
    #[must_use]
    pub fn greatest(&self) -> Duration {
        self.greatest
    }

    /// The least latency of the bucket that `share` of all latencies do not exceed; zero if there
    /// are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(least(index));
            }
        }
        Duration::ZERO
    }
}

/// Values below `STEPS` have a bucket each; above, the leading bits choose it.
fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - STEPS.ilog2();
    (u64::from(shift) * STEPS + (nanos >> shift)) as usize
}

/// The least value of a bucket.
fn least(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    (bucket % STEPS + STEPS) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_at_most_3_percent_wide() {
        let mut nanos = 1_u64;
        while nanos < u64::MAX / 2 {
            let start = least(bucket(nanos));
            assert!(start <= nanos && nanos - start <= nanos / STEPS, "{nanos}");
            assert_eq!(bucket(start), bucket(nanos));
            nanos += nanos / 7 + 1;
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_are_those_of_all_that_was_added() {
        let mut all = LatencyHistogram::new();
        assert_eq!(all.quantile(0.5), Duration::ZERO);
        for nanos in 1..=100 {
            let mut one = LatencyHistogram::new();
            one.record(Duration::from_nanos(nanos));
            all.add(&one);
        }
        assert_eq!(all.total(), 100);
        assert_eq!(all.greatest(), Duration::from_nanos(100));
        assert_eq!(all.quantile(0.5), Duration::from_nanos(50));
        assert_eq!(all.quantile(0.99), Duration::from_nanos(98));
        assert_eq!(all.quantile(1.0), Duration::from_nanos(100));
    }
}
