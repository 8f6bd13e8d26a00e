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
/// it, and the peer takes it: 7 s, in which a slow path takes what a socket holds. Once nothing
/// more is taken, the shorter time counts from then.
const DEAD_AFTER_MUCH: u32 = 28;
const MUCH_BYTES: u64 = 64 * 1024;
/// A peer that takes nothing of what waits for it for so many looks is given up: 5 s.
const STALLED_AFTER: u32 = 20;
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

/// The traffic that a look sees.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinkTraffic {
    /// The bytes so far.
    pub(super) read: u64,
    pub(super) written: u64,
    /// Whether the peer owes answers.
    pub(super) owes_answers: bool,
    /// Whether the socket takes nothing of what waits for it.
    pub(super) is_blocked: bool,
}

/// Follows one link from look to look.
#[derive(Debug, Default)]
pub(super) struct LinkSilence {
    read: u64,
    /// The bytes that had been written when something was read last.
    written: u64,
    /// The bytes that had been written at the last look.
    written_before: u64,
    /// Without a byte written.
    still: u32,
    /// The same, while something waited to be written.
    stalled: u32,
    /// Without a byte, while an answer is owed.
    silent: u32,
    /// Without a wish.
    idle: u32,
    /// Whether it was asked and has said nothing since.
    is_asked: bool,
}

impl LinkSilence {
    /// Takes a look.
    pub(super) fn look(&mut self, seen: LinkTraffic) -> SilenceStep {
        let LinkTraffic {
            read,
            written,
            owes_answers: wants,
            is_blocked,
        } = seen;
        if read != self.read {
            (self.read, self.written) = (read, written);
            (self.silent, self.is_asked) = (0, false);
        }
        let is_still = written == std::mem::replace(&mut self.written_before, written);
        self.still = if is_still { self.still + 1 } else { 0 };
        self.stalled = if is_still && is_blocked {
            self.stalled + 1
        } else {
            0
        };
        if self.stalled >= STALLED_AFTER {
            return SilenceStep::Dead;
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
        let is_much = written.saturating_sub(self.written) > MUCH_BYTES;
        // The look that sees the last byte written comes up to one interval after it.
        let is_taken = is_much && self.still < DEAD_AFTER;
        let dead_after = if is_taken {
            DEAD_AFTER_MUCH
        } else {
            DEAD_AFTER
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

    fn seen(read: u64, written: u64, owes_answers: bool) -> LinkTraffic {
        LinkTraffic {
            read,
            written,
            owes_answers,
            is_blocked: false,
        }
    }

    #[test]
    fn a_peer_that_owes_answers_is_asked_and_then_dead() {
        let mut silence = LinkSilence::default();
        assert_eq!(
            steps(11, |_| silence.look(seen(0, 0, true))),
            [(3, Ask), (11, Dead)]
        );
    }

    #[test]
    fn any_byte_shows_that_it_is_there() {
        let mut silence = LinkSilence::default();
        let steps = steps(100, |look| silence.look(seen((look / 8).into(), 0, true)));
        assert!(steps.iter().all(|(_, step)| *step == Ask));
    }

    #[test]
    fn a_question_behind_much_else_has_more_time_while_it_is_taken() {
        let much = |look: u32| seen(0, MUCH_BYTES + u64::from(look), true);
        let mut silence = LinkSilence::default();
        let taken = steps(29, |look| silence.look(much(look)));
        assert_eq!(taken, [(3, Ask), (29, Dead)]);
        let mut silence = LinkSilence::default();
        let in_steps = steps(29, |look| silence.look(much(look / 9)));
        assert_eq!(in_steps, [(3, Ask), (29, Dead)]);
        let mut silence = LinkSilence::default();
        let frozen = steps(11, |_| silence.look(much(1)));
        assert_eq!(frozen, [(3, Ask), (11, Dead)]);
        let mut silence = LinkSilence::default();
        let later = steps(15, |look| silence.look(much(look.min(5))));
        assert_eq!(later, [(3, Ask), (15, Dead)]);
    }

    #[test]
    fn a_peer_that_sends_and_takes_nothing_is_given_up() {
        let mut silence = LinkSilence::default();
        let steps = steps(21, |look| {
            silence.look(LinkTraffic {
                is_blocked: true,
                ..seen(look.into(), 1, false)
            })
        });
        assert_eq!(steps, [(20, Ask), (21, Dead)]);
    }

    #[test]
    fn an_idle_one_is_asked_every_five_seconds_and_dead_if_it_says_nothing() {
        let mut silence = LinkSilence::default();
        assert_eq!(
            steps(40, |look| silence.look(seen((look > 21).into(), 0, false))),
            [(20, Ask), (40, Ask)]
        );
        let mut silence = LinkSilence::default();
        assert_eq!(
            steps(31, |_| silence.look(seen(0, 0, false))),
            [(20, Ask), (31, Dead)]
        );
    }
}
