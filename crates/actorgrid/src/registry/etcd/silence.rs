//! When a watch from which nothing comes is asked for a sign of life, and when it is given up.
//! Pure.

use std::time::Duration;

use crate::environment::Timestamp;

/// After so much silence etcd is asked for progress. It answers from memory, so that a thousand
/// watches which are asked this often cost it no more than two hundred small messages a second. By
/// then it has long sent what a new watch has missed: some versions never answer before that.
const ASK_AFTER: Duration = Duration::from_secs(5);
/// The time that the answer may take: as long as a new connection (see `endpoints.rs`), several
/// round trips around the world.
const ANSWER_BOUND: Duration = Duration::from_secs(2);

/// How long nothing has come.
#[derive(Debug)]
pub(super) struct Silence {
    heard: Timestamp,
    /// Since then.
    asked: Option<Timestamp>,
}

/// What to do about a silence when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SilenceVerdict {
    /// Its time has not come.
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

    /// Something came.
    pub(super) fn heard(&mut self, now: Timestamp) {
        *self = Self::new(now);
    }

    /// Whether an answer is waited for.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// When to judge it next.
    pub(super) fn due(&self) -> Timestamp {
        match self.asked {
            None => self.heard + ASK_AFTER,
            Some(asked) => asked + ANSWER_BOUND,
        }
    }

    /// What to do now, if all that has come is read.
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
