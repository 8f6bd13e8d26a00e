//! Whether the peer of a link still speaks, and when to ask. Pure.

use std::time::Duration;

/// How often a link is looked at.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A peer that owes answers is asked after so many looks without a byte: 500 ms.
const ASK_AFTER: u32 = 2;
/// It is taken for dead after so many: 2 s later. Looks count, and not time: a process that was
/// stopped itself, or had no processor, must not blame its peers.
const DEAD_AFTER: u32 = 10;
/// The same, where so much was written since the last byte that the question may still wait behind
/// it: 7 s, in which a slow path takes what a socket holds.
const DEAD_AFTER_MUCH: u32 = 28;
const MUCH_BYTES: u64 = 64 * 1024;
/// A peer of which nothing is wanted is asked after so many looks: every 5 s, so that the next call
/// does not find the link dead.
const ASK_IDLE_AFTER: u32 = 20;

/// The consequence of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SilenceStep {
    Nothing,
    Ask,
    Dead,
}

/// Follows one link from look to look.
#[derive(Debug, Default)]
pub(super) struct LinkSilence {
    read: u64,
    /// The bytes that had been written when something was read last.
    written: u64,
    /// Without a byte, while an answer is owed.
    silent: u32,
    /// Without a wish.
    idle: u32,
    /// Whether it was asked and has said nothing since.
    is_asked: bool,
}

impl LinkSilence {
    /// Takes a look. `read` and `written` are the bytes so far; `wants` says whether answers are
    /// owed.
    pub(super) fn look(&mut self, read: u64, written: u64, wants: bool) -> SilenceStep {
        if read != self.read {
            (self.read, self.written) = (read, written);
            (self.silent, self.is_asked) = (0, false);
        }
        self.idle = if wants { 0 } else { self.idle + 1 };
        if !wants && !self.is_asked {
            self.silent = 0;
            return match self.idle >= ASK_IDLE_AFTER {
                true => self.ask(),
                false => SilenceStep::Nothing,
            };
        }
        self.silent += 1;
        let dead_after = match written.saturating_sub(self.written) > MUCH_BYTES {
            true => DEAD_AFTER_MUCH,
            false => DEAD_AFTER,
        };
        if self.silent > dead_after {
            SilenceStep::Dead
        } else if self.silent > ASK_AFTER && !self.is_asked {
            self.ask()
        } else {
            SilenceStep::Nothing
        }
    }

    fn ask(&mut self) -> SilenceStep {
        self.is_asked = true;
        self.idle = 0;
        SilenceStep::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SilenceStep::{Ask, Dead};

    /// The looks at which something happens.
    fn steps(looks: u32, look: impl FnMut(u32) -> SilenceStep) -> Vec<(u32, SilenceStep)> {
        let steps = (1..=looks).zip((1..=looks).map(look));
        steps
            .filter(|(_, step)| *step != SilenceStep::Nothing)
            .collect()
    }

    #[test]
    fn a_peer_that_owes_answers_is_asked_and_then_dead() {
        let mut silence = LinkSilence::default();
        assert_eq!(
            steps(11, |_| silence.look(0, 0, true)),
            [(3, Ask), (11, Dead)]
        );
    }

    #[test]
    fn any_byte_shows_that_it_is_there() {
        let mut silence = LinkSilence::default();
        let steps = steps(100, |look| silence.look((look / 8).into(), 0, true));
        assert!(steps.iter().all(|(_, step)| *step == Ask));
    }

    #[test]
    fn a_question_behind_much_else_has_more_time() {
        let mut silence = LinkSilence::default();
        let steps = steps(29, |_| silence.look(0, MUCH_BYTES + 1, true));
        assert_eq!(steps, [(3, Ask), (29, Dead)]);
    }

    #[test]
    fn an_idle_one_is_asked_every_five_seconds_and_dead_if_it_says_nothing() {
        let mut silence = LinkSilence::default();
        assert_eq!(
            steps(40, |look| silence.look(u64::from(look > 21), 0, false)),
            [(20, Ask), (40, Ask)]
        );
        let mut silence = LinkSilence::default();
        assert_eq!(
            steps(31, |_| silence.look(0, 0, false)),
            [(20, Ask), (31, Dead)]
        );
    }
}
