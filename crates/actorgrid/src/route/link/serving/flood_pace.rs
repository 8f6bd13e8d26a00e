//! Decides when a client has sent too many frames that carry nothing forward for too long. Pure.

use std::time::Duration;

use crate::environment::Timestamp;

/// How long a client may exceed its pace.
const MAX_TIME_BEHIND: Duration = Duration::from_secs(5);
/// A client that is not held up for this long has caught up.
const CAUGHT_UP_TIME: Duration = Duration::from_millis(100);

/// Follows one client.
#[derive(Debug)]
pub(super) struct FloodPace {
    /// When it was first held up without having caught up since.
    behind_since: Timestamp,
    /// When the current pause ends.
    held_up_until: Timestamp,
}

impl FloodPace {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            behind_since: now,
            held_up_until: now,
        }
    }

    /// Notes a pause. Returns whether the client has exceeded its pace for too long.
    pub(super) fn hold_up(&mut self, pause: Duration, now: Timestamp) -> bool {
        if now.since(self.held_up_until) > CAUGHT_UP_TIME {
            self.behind_since = now;
        }
        self.held_up_until = now + pause;
        now.since(self.behind_since) >= MAX_TIME_BEHIND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_ends_after_five_seconds_and_bursts_do_not() {
        let at = |millis| Timestamp::ZERO + Duration::from_millis(millis);
        let pause = Duration::from_millis(50);
        let mut flood = FloodPace::new(at(0));
        let ends = (0..200).find(|step| flood.hold_up(pause, at(1000 + 50 * step)));
        assert_eq!(ends, Some(100));
        let mut bursts = FloodPace::new(at(0));
        assert!((0..200).all(|step| !bursts.hold_up(pause, at(1000 * step))));
    }
}
