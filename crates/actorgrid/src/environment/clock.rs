//! The clock of an environment, and its points in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A point in time of one environment, in nanoseconds since an origin of that environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(u64);

impl Timestamp {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this point; zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

#[derive(Debug)]
pub(super) enum Clock {
    /// The system's clock, which counts suspend.
    System,
    /// The runtime's clock, which can be paused, plus the time that this environment jumped ahead.
    Runtime {
        start: tokio::time::Instant,
        ahead_nanos: Arc<AtomicU64>,
    },
}

/// A simulation's wall clock starts here, so that the same seed gives the same run.
const SIMULATED_EPOCH_MICROS: u64 = 1_700_000_000_000_000;

impl Clock {
    pub(super) const fn real() -> Self {
        Self::System
    }

    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::System => boot_time(),
            Self::Runtime { start, ahead_nanos } => {
                Timestamp(0)
                    + start.elapsed()
                    + Duration::from_nanos(ahead_nanos.load(Ordering::Acquire))
            }
        }
    }

    #[allow(clippy::disallowed_methods)]
    pub(super) fn wall_clock_micros(&self) -> u64 {
        match self {
            Self::System => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| {
                    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
                }),
            Self::Runtime { .. } => SIMULATED_EPOCH_MICROS + self.now().0 / 1_000,
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot_time() -> Timestamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    Timestamp(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// On macOS and its relatives the monotonic clock counts suspend.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boot_time() -> Timestamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    Timestamp(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
