//! Decides when to ask etcd for a sign of life of a silent watch, and when to abandon the watch.
//! Pure.

use std::time::Duration;

use crate::environment::Timestamp;

/// After this much silence etcd is asked for progress. It replies from memory, so a thousand
/// watches cost it no more than two hundred small messages a second. By then it has long sent what
/// a new watch has missed; some versions never reply before that.
const ASK_AFTER: Duration = Duration::from_secs(5);
/// The time limit for the reply: the same as for a new connection (see `dialer.rs`), several round
/// trips around the world.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The silence of a watch: how long nothing has arrived.
#[derive(Debug)]
pub(super) struct Silence {
    heard: Timestamp,
    /// When etcd was asked for progress, if nothing has arrived since then.
    asked: Option<Timestamp>,
}

/// The action that a silence calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SilenceVerdict {
    /// Nothing is due yet.
    Wait,
    /// Ask for progress now.
    Ask,
    /// The watch is broken.
    Broken,
}

impl Silence {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            heard: now,
            asked: None,
        }
    }

    /// Records that something arrived.
    pub(super) fn heard(&mut self, now: Timestamp) {
        *self = Self::new(now);
    }

    /// Whether a reply from etcd is pending.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Returns when to judge the silence next.
    pub(super) fn due(&self) -> Timestamp {
        match self.asked {
            None => self.heard + ASK_AFTER,
            Some(asked) => asked + ANSWER_TIMEOUT,
        }
    }

    /// Decides what to do now, provided that everything that has arrived is read.
    pub(super) fn judge(&mut self, now: Timestamp) -> SilenceVerdict {
        if now < self.due() {
            return SilenceVerdict::Wait;
        }
        match self.asked.replace(now) {
            None => SilenceVerdict::Ask,
            Some(_) => SilenceVerdict::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SilenceVerdict::{Ask, Broken, Wait};
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn asks_after_five_seconds_and_waits_two_for_the_answer() {
        let mut silence = Silence::new(at(1));
        assert_eq!((silence.judge(at(5)), silence.due()), (Wait, at(6)));
        assert!(!silence.is_asked());
        assert_eq!((silence.judge(at(6)), silence.due()), (Ask, at(8)));
        assert!(silence.is_asked());
        assert_eq!((silence.judge(at(7)), silence.due()), (Wait, at(8)));
        assert_eq!(silence.judge(at(8)), Broken);
    }

    #[test]
    fn whatever_comes_ends_the_silence() {
        let mut silence = Silence::new(at(0));
        silence.heard(at(3));
        assert_eq!((silence.judge(at(5)), silence.due()), (Wait, at(8)));
        assert_eq!(silence.judge(at(8)), Ask);
        silence.heard(at(9));
        assert!(!silence.is_asked());
        assert_eq!((silence.judge(at(11)), silence.due()), (Wait, at(14)));
    }

    #[test]
    fn a_watch_that_nobody_looked_at_is_asked_before_it_is_given_up() {
        let mut silence = Silence::new(at(0));
        assert_eq!((silence.judge(at(100)), silence.due()), (Ask, at(102)));
    }
}
