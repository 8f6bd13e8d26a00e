//! The limit on the control frames of a source.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::environment::Timestamp;

/// The pace of the control frames of one source. Per second: 20,000 cancelled requests, which is
/// about what a core can begin and end, or 80,000 window updates, for a gigabyte of replies and
/// more. As a burst: all requests of a connection, cancelled sixteen times.
const SOURCE_PACE: Pace = Pace {
    burst: 64 * 1024,
    unit: Duration::from_nanos(12_500),
};
/// The pace of all sources together, a little faster than that of one. The sources that send more
/// than a quiet one have equal shares of it.
const PEER_PACE: Pace = Pace {
    burst: 64 * 1024,
    unit: Duration::from_micros(10),
};
/// The pace up to which a source is quiet: its frames do not count anywhere.
const QUIET_SOURCE_PACE: Pace = Pace {
    burst: 4 * 1024,
    unit: Duration::from_millis(1),
};
/// A source counts if it was busy in the current or the previous such window.
const WINDOW: Duration = Duration::from_secs(1);

/// The control frames that the connections of one source may send: beyond that, their bytes are
/// read more slowly. Cheap to clone; only control frames take its locks.
#[derive(Debug, Clone)]
pub(in crate::route) struct ControlBudget {
    source: Arc<Mutex<SourceAllowances>>,
    peer: PeerControlBudget,
}

/// The number of busy sources at a peer: those that send more control frames than a quiet one.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::route) struct PeerControlBudget(Arc<Mutex<BusySources>>);

#[derive(Debug)]
struct SourceAllowances {
    busy: Allowance,
    quiet: Allowance,
    /// The last window in which the source was busy.
    counted_in: Option<u128>,
}

#[derive(Debug, Default)]
struct BusySources {
    window: u128,
    /// The busy sources in this window so far, and in the one before.
    now: u32,
    before: u32,
}

/// How fast weight may accumulate.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The weight that may arrive at once.
    burst: i64,
    /// The time in which a weight of one may arrive.
    unit: Duration,
}

/// The weight that may still arrive. Pure.
#[derive(Debug)]
struct Allowance {
    left: i64,
    since: Timestamp,
}

impl PeerControlBudget {
    pub(in crate::route) fn new() -> Self {
        Self(Arc::default())
    }

    /// Creates the share of one more source.
    pub(in crate::route) fn source(&self, now: Timestamp) -> ControlBudget {
        ControlBudget {
            source: Arc::new(Mutex::new(SourceAllowances {
                busy: Allowance::new(SOURCE_PACE, now),
                quiet: Allowance::new(QUIET_SOURCE_PACE, now),
                counted_in: None,
            })),
            peer: self.clone(),
        }
    }
}

impl ControlBudget {
    /// Spends the weight of frames that were read. Returns how long to wait before more is read:
    /// until this source owes nothing, whatever others owe.
    pub(in crate::route) fn spend(&self, weight: u32, now: Timestamp) -> Option<Duration> {
        let mut source = lock(&self.source);
        let SourceAllowances {
            busy,
            quiet,
            counted_in,
        } = &mut *source;
        let rest = weight - quiet.spend_free(weight, QUIET_SOURCE_PACE, now);
        if rest == 0 && busy.left > 0 {
            return None;
        }
        let sources = lock(&self.peer.0).count(counted_in, now);
        busy.spend(rest, SOURCE_PACE.shared_by(sources), now)
    }
}

impl BusySources {
    /// Counts a source that is busy now, and was last counted in window `counted_in`. Returns the
    /// number of busy sources.
    fn count(&mut self, counted_in: &mut Option<u128>, now: Timestamp) -> u32 {
        let window = now.since(Timestamp::ZERO).as_nanos() / WINDOW.as_nanos();
        if window > self.window {
            let is_next = window == self.window + 1;
            self.before = if is_next { self.now } else { 0 };
            (self.window, self.now) = (window, 0);
        }
        if *counted_in != Some(window) {
            *counted_in = Some(window);
            self.now = self.now.saturating_add(1);
        }
        self.now.max(self.before)
    }
}

impl Pace {
    /// Returns the pace of each of this many sources.
    fn shared_by(self, sources: u32) -> Self {
        Self {
            burst: self.burst.min(PEER_PACE.burst / i64::from(sources.max(1))),
            unit: self.unit.max(PEER_PACE.unit * sources),
        }
    }
}

impl Allowance {
    const fn new(pace: Pace, now: Timestamp) -> Self {
        Self {
            left: pace.burst,
            since: now,
        }
    }

    /// Spends this much, and returns how long it takes until none of it is owed any more.
    fn spend(&mut self, weight: u32, pace: Pace, now: Timestamp) -> Option<Duration> {
        self.earn(pace, now);
        self.left -= i64::from(weight);
        let owed = u32::try_from(-self.left).ok().filter(|owed| *owed > 0)?;
        Some(pace.unit * owed)
    }

    /// Spends as much of a weight as is left, and returns that part.
    fn spend_free(&mut self, weight: u32, pace: Pace, now: Timestamp) -> u32 {
        self.earn(pace, now);
        let spent = weight.min(u32::try_from(self.left).unwrap_or(0));
        self.left -= i64::from(spent);
        spent
    }

    fn earn(&mut self, pace: Pace, now: Timestamp) {
        let Pace { burst, unit } = pace;
        let passed = now.since(self.since).as_nanos() / unit.as_nanos();
        let earned = u32::try_from(passed).unwrap_or(u32::MAX);
        // A fraction of a unit is not lost: the time advances by whole units.
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
        let mut budget = Allowance::new(SOURCE_PACE, at(0));
        assert_eq!(
            budget.spend(SOURCE_PACE.burst as u32, SOURCE_PACE, at(0)),
            None
        );
        assert_eq!(
            budget.spend(800, SOURCE_PACE, at(0)),
            Some(Duration::from_millis(10))
        );
        assert_eq!(
            budget.spend(800, SOURCE_PACE, at(10)),
            Some(Duration::from_millis(10))
        );
        assert_eq!(budget.spend(80, SOURCE_PACE, at(21)), None);
    }

    #[test]
    fn the_saved_allowance_is_bounded() {
        let mut budget = Allowance::new(SOURCE_PACE, at(0));
        assert_eq!(budget.spend(0, SOURCE_PACE, at(3_600_000)), None);
        assert_eq!(
            budget.spend(SOURCE_PACE.burst as u32, SOURCE_PACE, at(3_600_000)),
            None
        );
        assert!(budget.spend(800, SOURCE_PACE, at(3_600_000)).is_some());
    }

    #[test]
    fn looks_in_quick_succession_lose_nothing() {
        let mut budget = Allowance::new(SOURCE_PACE, at(0));
        budget.spend(SOURCE_PACE.burst as u32, SOURCE_PACE, at(0));
        for micro in 0..1_000 {
            budget.spend(
                0,
                SOURCE_PACE,
                Timestamp::ZERO + Duration::from_micros(micro),
            );
        }
        assert_eq!(budget.spend(79, SOURCE_PACE, at(1)), None);
        assert!(budget.spend(2, SOURCE_PACE, at(1)).is_some());
    }

    #[test]
    fn floods_of_many_sources_are_paced_together_and_hold_up_no_quiet_one() {
        let peer = PeerControlBudget::new();
        let [quiet, honest] = [(); 2].map(|()| peer.source(at(0)));
        let many = [(); 16].map(|()| peer.source(at(0)));
        let (mut passed, mut until) = (0, [at(0); 16]);
        for milli in 0..1_000 {
            let now = at(milli);
            for (source, until) in many.iter().zip(&mut until) {
                // As a socket does: it reads again when the pause is over.
                if now >= *until {
                    passed += 1_000;
                    *until = now + source.spend(1_000, now).unwrap_or_default();
                }
            }
            let pause = quiet.spend(u32::from(milli % 2 == 0), now);
            assert_eq!(pause, None, "after {milli} ms");
            // A busy honest source gets its share, whatever the others owe.
            let pause = honest.spend(4, now).unwrap_or_default();
            assert!(
                pause < Duration::from_millis(2),
                "{pause:?} after {milli} ms"
            );
        }
        let expected = PEER_PACE.burst + 100_000 + 16 * (QUIET_SOURCE_PACE.burst + 1_000);
        assert!((passed - expected).abs() < 50_000, "{passed} of {expected}");
    }
}
