//! The time in which answers count.

use std::time::{Duration, Instant};

/// A run is cut off so long after its end, and what is unanswered then has failed.
const GRACE: Duration = Duration::from_secs(5);

/// From the end of the warm-up to the end of the measurement.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Answers count from here on.
    pub begin: Instant,
    /// Nothing is sent from here on, and no answer counts.
    pub end: Instant,
}

impl Window {
    /// A window of `seconds` that begins when `warm_up` seconds have passed.
    #[must_use]
    pub fn after(warm_up: f64, seconds: f64) -> Self {
        let begin = Instant::now() + Duration::from_secs_f64(warm_up);
        let end = begin + Duration::from_secs_f64(seconds);
        Self { begin, end }
    }

    /// Whether something at this time counts.
    #[must_use]
    pub fn contains(&self, at: Instant) -> bool {
        self.begin <= at && at < self.end
    }

    /// When the run ends whatever is unanswered.
    #[must_use]
    pub fn cut_off(&self) -> Instant {
        self.end + GRACE
    }
}
