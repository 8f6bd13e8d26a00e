//! How many control frames a source may send.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::environment::Timestamp;

/// The weight that may come at once: all requests of a connection, cancelled sixteen times.
const BURST: i64 = 64 * 1024;
/// The time in which a weight of one may come. In a second that makes 20,000 cancelled requests,
/// which is about what a core can begin and end, or 80,000 window updates, for a gigabyte and more
/// of replies.
const UNIT: Duration = Duration::from_nanos(12_500);

/// The control frames that the connections of one source may send: beyond it, their bytes are read
/// more slowly. Cheap to clone; only control frames take its lock.
#[derive(Debug, Clone)]
pub(super) struct ControlBudget(Arc<Mutex<Allowance>>);

/// The weight that may come. Pure.
#[derive(Debug)]
struct Allowance {
    left: i64,
    since: Timestamp,
}

impl ControlBudget {
    pub(super) fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Allowance::new(now))))
    }

    /// Frames of this weight were read. Returns how long to wait before more is read.
    pub(super) fn spend(&self, weight: u32, now: Timestamp) -> Option<Duration> {
        let mut allowance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        allowance.spend(weight, now)
    }
}

impl Allowance {
    const fn new(now: Timestamp) -> Self {
        Self {
            left: BURST,
            since: now,
        }
    }

    fn spend(&mut self, weight: u32, now: Timestamp) -> Option<Duration> {
        let passed = now.since(self.since).as_nanos() / UNIT.as_nanos();
        let earned = u32::try_from(passed).unwrap_or(u32::MAX);
        // A part of a unit is not lost: the time moves on by whole ones.
        self.since = self.since + UNIT * earned;
        self.left = self.left.saturating_add(i64::from(earned)).min(BURST);
        self.left -= i64::from(weight);
        let owed = u32::try_from(-self.left).ok().filter(|owed| *owed > 0)?;
        Some(UNIT * owed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_is_free_and_what_comes_faster_after_it_waits() {
        let mut budget = Allowance::new(at(0));
        assert_eq!(budget.spend(BURST as u32, at(0)), None);
        assert_eq!(budget.spend(800, at(0)), Some(Duration::from_millis(10)));
        assert_eq!(budget.spend(800, at(10)), Some(Duration::from_millis(10)));
        assert_eq!(budget.spend(80, at(21)), None);
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let mut budget = Allowance::new(at(0));
        assert_eq!(budget.spend(0, at(3_600_000)), None);
        assert_eq!(budget.spend(BURST as u32, at(3_600_000)), None);
        assert!(budget.spend(800, at(3_600_000)).is_some());
    }

    #[test]
    fn looks_in_quick_succession_lose_nothing() {
        let mut budget = Allowance::new(at(0));
        budget.spend(BURST as u32, at(0));
        for micro in 0..1_000 {
            budget.spend(0, Timestamp::ZERO + Duration::from_micros(micro));
        }
        assert_eq!(budget.spend(79, at(1)), None);
        assert!(budget.spend(2, at(1)).is_some());
    }
}
