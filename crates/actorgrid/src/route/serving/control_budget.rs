//! How many control frames a source may send.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::environment::Timestamp;

/// The pace of the control frames of one source: in a second 20,000 cancelled requests, which is
/// about what a core can begin and end, or 80,000 window updates, for a gigabyte and more of
/// replies; and at once all requests of a connection, cancelled sixteen times.
const OF_SOURCE: Pace = Pace {
    burst: 64 * 1024,
    unit: Duration::from_nanos(12_500),
};
/// The pace of all sources together: a little more than that of one.
const OF_PEER: Pace = Pace {
    burst: 64 * 1024,
    unit: Duration::from_micros(10),
};
/// The pace up to which a source is not held up by what others send.
const OF_QUIET_SOURCE: Pace = Pace {
    burst: 4 * 1024,
    unit: Duration::from_millis(1),
};

/// The control frames that the connections of one source may send: beyond it, their bytes are read
/// more slowly. Cheap to clone; only control frames take its locks.
#[derive(Debug, Clone)]
pub(super) struct ControlBudget {
    source: Arc<Mutex<SourceAllowances>>,
    peer: PeerControlBudget,
}

/// The control frames that all sources together may send. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct PeerControlBudget(Arc<Mutex<Allowance>>);

#[derive(Debug)]
struct SourceAllowances {
    all: Allowance,
    quiet: Allowance,
}

/// How fast weight may come.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The weight that may come at once.
    burst: i64,
    /// The time in which a weight of one may come.
    unit: Duration,
}

/// The weight that may come. Pure.
#[derive(Debug)]
struct Allowance {
    pace: Pace,
    left: i64,
    since: Timestamp,
}

impl PeerControlBudget {
    pub(super) fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Allowance::new(OF_PEER, now))))
    }

    /// The share of one more source.
    pub(super) fn source(&self, now: Timestamp) -> ControlBudget {
        ControlBudget {
            source: Arc::new(Mutex::new(SourceAllowances {
                all: Allowance::new(OF_SOURCE, now),
                quiet: Allowance::new(OF_QUIET_SOURCE, now),
            })),
            peer: self.clone(),
        }
    }
}

impl ControlBudget {
    /// Frames of this weight were read. Returns how long to wait before more is read.
    pub(super) fn spend(&self, weight: u32, now: Timestamp) -> Option<Duration> {
        let (own, rest) = {
            let mut source = lock(&self.source);
            let own = source.all.spend(weight, now);
            (own, weight - source.quiet.spend_free(weight, now))
        };
        if rest == 0 {
            return own;
        }
        own.max(lock(&self.peer.0).spend(rest, now))
    }
}

impl Allowance {
    const fn new(pace: Pace, now: Timestamp) -> Self {
        Self {
            pace,
            left: pace.burst,
            since: now,
        }
    }

    /// Spends so much, and returns after how long nothing of it is owed any more.
    fn spend(&mut self, weight: u32, now: Timestamp) -> Option<Duration> {
        self.earn(now);
        self.left -= i64::from(weight);
        let owed = u32::try_from(-self.left).ok().filter(|owed| *owed > 0)?;
        Some(self.pace.unit * owed)
    }

    /// Spends as much of a weight as is left, and returns it.
    fn spend_free(&mut self, weight: u32, now: Timestamp) -> u32 {
        self.earn(now);
        let spent = weight.min(u32::try_from(self.left).unwrap_or(0));
        self.left -= i64::from(spent);
        spent
    }

    fn earn(&mut self, now: Timestamp) {
        let Pace { burst, unit } = self.pace;
        let passed = now.since(self.since).as_nanos() / unit.as_nanos();
        let earned = u32::try_from(passed).unwrap_or(u32::MAX);
        // A part of a unit is not lost: the time moves on by whole ones.
        self.since = self.since + unit * earned;
        self.left = self.left.saturating_add(i64::from(earned)).min(burst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_is_free_and_what_comes_faster_after_it_waits() {
        let mut budget = Allowance::new(OF_SOURCE, at(0));
        assert_eq!(budget.spend(OF_SOURCE.burst as u32, at(0)), None);
        assert_eq!(budget.spend(800, at(0)), Some(Duration::from_millis(10)));
        assert_eq!(budget.spend(800, at(10)), Some(Duration::from_millis(10)));
        assert_eq!(budget.spend(80, at(21)), None);
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let mut budget = Allowance::new(OF_SOURCE, at(0));
        assert_eq!(budget.spend(0, at(3_600_000)), None);
        assert_eq!(budget.spend(OF_SOURCE.burst as u32, at(3_600_000)), None);
        assert!(budget.spend(800, at(3_600_000)).is_some());
    }

    #[test]
    fn looks_in_quick_succession_lose_nothing() {
        let mut budget = Allowance::new(OF_SOURCE, at(0));
        budget.spend(OF_SOURCE.burst as u32, at(0));
        for micro in 0..1_000 {
            budget.spend(0, Timestamp::ZERO + Duration::from_micros(micro));
        }
        assert_eq!(budget.spend(79, at(1)), None);
        assert!(budget.spend(2, at(1)).is_some());
    }

    #[test]
    fn floods_of_many_sources_are_paced_together_and_hold_up_no_quiet_one() {
        let peer = PeerControlBudget::new(at(0));
        let (quiet, many) = (peer.source(at(0)), [(); 16].map(|()| peer.source(at(0))));
        let (mut passed, mut until) = (0, [at(0); 16]);
        for milli in 0..1_000 {
            let now = at(milli);
            for (source, until) in many.iter().zip(&mut until) {
                // As a socket does: it reads on when the pause is over.
                if now >= *until {
                    passed += 1_000;
                    *until = now + source.spend(1_000, now).unwrap_or_default();
                }
            }
            let pause = quiet.spend(u32::from(milli % 2 == 0), now);
            assert_eq!(pause, None, "after {milli} ms");
        }
        let expected = OF_PEER.burst + 100_000 + 16 * (OF_QUIET_SOURCE.burst + 1_000);
        assert!((passed - expected).abs() < 50_000, "{passed} of {expected}");
    }
}
