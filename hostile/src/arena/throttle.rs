//! Keeps an attacker within its share of a processor.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The processor time, in seconds, that an attacker may use at once after it has waited.
const BURST: f64 = 0.02;

/// Keeps this process within a share of a processor, by blocking it.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// `None` means no limit.
    share: Option<f64>,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    wall: Instant,
    cpu: Duration,
    debt: f64,
}

impl Throttle {
    pub(crate) fn new(share: Option<f64>) -> Self {
        let account = Account {
            wall: Instant::now(),
            cpu: process_time(),
            debt: 0.0,
        };
        Self {
            share,
            account: Mutex::new(account),
        }
    }

    /// Blocks the process until it is within its share. All tasks share it, so all of them must
    /// wait.
    pub(crate) fn pace(&self) {
        let Some(share) = self.share else {
            return;
        };
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, cpu) = (Instant::now(), process_time());
        let (passed, used) = (wall - account.wall, cpu.saturating_sub(account.cpu));
        account.wall = wall;
        account.cpu = cpu;
        account.debt = debt(account.debt, passed, used, share);
        if account.debt > 0.0 {
            std::thread::sleep(Duration::from_secs_f64(account.debt / share));
        }
    }
}

/// Returns the processor time used in excess of the share, after `passed` more has passed.
fn debt(before: f64, passed: Duration, used: Duration, share: f64) -> f64 {
    let after = before + used.as_secs_f64() - share * passed.as_secs_f64();
    after.max(-BURST)
}

/// Returns the processor time that this process has used.
pub(crate) fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Neither is negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn time_beyond_the_share_is_owed() {
        assert_eq!(debt(0.0, 10 * MS, 5 * MS, 0.5), 0.0);
        assert!((debt(0.0, 10 * MS, 10 * MS, 0.5) - 0.005).abs() < 1e-9);
        assert!((debt(0.005, 10 * MS, Duration::ZERO, 0.5) - 0.0).abs() < 1e-9);
    }

    #[test]
    fn a_long_wait_saves_up_no_more_than_a_burst() {
        assert_eq!(debt(0.0, 100_000 * MS, Duration::ZERO, 0.5), -BURST);
    }
}
