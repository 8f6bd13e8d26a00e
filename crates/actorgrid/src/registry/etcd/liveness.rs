//! Decides whether an endpoint of etcd is alive, from what arrives over its connection. Pure.

use std::time::Duration;

use crate::environment::Timestamp;

/// The interval between looks at a connection while something is expected over it.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(125);
/// After this long without a byte while something is expected, the endpoint is probed.
const PROBE_AFTER: Duration = Duration::from_millis(250);
/// If a probe was answered but the request was not, the probe is repeated after this time.
const PROBE_AGAIN: Duration = Duration::from_secs(1);
/// An endpoint that sends no byte for this long after a probe is silent: 1 s together with
/// [`PROBE_AFTER`]. New exchanges try another endpoint first.
const SILENT_AFTER: Duration = Duration::from_millis(750);
/// If an endpoint sends no byte for this long after a probe, its connection is abandoned: 2 s
/// together with [`PROBE_AFTER`].
const BROKEN_AFTER: Duration = Duration::from_millis(1_750);
/// A connection that has open streams is probed after this long without a byte.
const IDLE_PROBE_AFTER: Duration = Duration::from_secs(6);
/// etcd tolerates probes at this interval while there are open streams: it asks for 5 s.
const TOLERATED_PROBE_INTERVAL: Duration = Duration::from_millis(5_500);
/// The number of consecutive probes at a shorter interval that etcd tolerates: at the third it
/// closes the connection. Its reply to a request resets the count, and the first probe after that
/// is not counted.
const MAX_STRIKES: u32 = 2;

/// The observed state of a connection at one look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) now: Timestamp,
    /// The number of reads that returned bytes.
    pub(super) heard: u64,
    /// Whether something was sent, or a reply is owed, and nothing has arrived since.
    pub(super) expects: bool,
    /// Whether there are open streams.
    pub(super) streams: bool,
    /// Whether etcd has replied to a request that was sent after its last reply to a probe.
    pub(super) answered: bool,
    /// Whether a caller waits for a sign of life.
    pub(super) wanted: bool,
}

/// The action that follows a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing is expected: look again once something is sent.
    Sleep,
    /// Look again after this time.
    Look(Duration),
    /// Send a probe, and look again after [`LOOK_INTERVAL`].
    Probe,
    /// The endpoint is silent; look again after [`LOOK_INTERVAL`].
    Silent,
    /// The connection is dead.
    Broken,
}

/// Judges whether one connection is alive.
///
/// Only time during which the connection was looked at counts as silence: a process that was
/// stopped, or a runtime that was stalled, was not listening.
#[derive(Debug)]
pub(super) struct Liveness {
    heard: u64,
    looked: Timestamp,
    /// The planned time from the last look to the next one.
    due: Duration,
    /// The time since the last byte.
    quiet: Duration,
    /// How long something has been expected while nothing arrived.
    waits: Option<Duration>,
    /// How long the last probe has been unanswered.
    unanswered: Option<Duration>,
    probed: Option<Timestamp>,
    strikes: u32,
}

impl Liveness {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            heard: 0,
            looked: now,
            due: LOOK_INTERVAL,
            quiet: Duration::ZERO,
            waits: None,
            unanswered: None,
            probed: None,
            strikes: 0,
        }
    }

    pub(super) fn look(&mut self, sight: Sight) -> Step {
        let passed = sight.now.since(self.looked).min(self.due + LOOK_INTERVAL);
        self.looked = sight.now;
        if sight.heard == self.heard {
            self.quiet += passed;
            for silence in [&mut self.waits, &mut self.unanswered] {
                *silence = silence.map(|silence| silence + passed);
            }
        } else {
            self.heard = sight.heard;
            self.quiet = Duration::ZERO;
            (self.waits, self.unanswered) = (None, None);
        }
        if !sight.expects && self.unanswered.is_none() {
            self.waits = None;
        } else if self.waits.is_none() {
            self.waits = Some(Duration::ZERO);
        }
        let step = self.decide(sight);
        self.due = match step {
            Step::Look(due) => due,
            Step::Sleep => Duration::ZERO,
            Step::Probe | Step::Silent | Step::Broken => LOOK_INTERVAL,
        };
        step
    }

    fn decide(&mut self, sight: Sight) -> Step {
        if let Some(unanswered) = self.unanswered {
            return match unanswered {
                unanswered if unanswered >= BROKEN_AFTER => Step::Broken,
                unanswered if unanswered >= SILENT_AFTER => Step::Silent,
                _ => Step::Look(LOOK_INTERVAL),
            };
        }
        let waited = self.waits.is_some_and(|waits| waits >= PROBE_AFTER);
        if (sight.wanted || waited) && self.may_probe(sight) {
            return self.probe(sight.now);
        }
        if self.waits.is_some() {
            return Step::Look(LOOK_INTERVAL);
        }
        if !sight.streams {
            return Step::Sleep;
        }
        match IDLE_PROBE_AFTER
            .checked_sub(self.quiet)
            .filter(|left| !left.is_zero())
        {
            Some(left) => Step::Look(left),
            None if self.may_probe(sight) => self.probe(sight.now),
            None => Step::Look(IDLE_PROBE_AFTER),
        }
    }

    /// Whether a probe is unanswered.
    pub(super) fn is_probing(&self) -> bool {
        self.unanswered.is_some()
    }

    fn probe(&mut self, now: Timestamp) -> Step {
        self.probed = Some(now);
        self.unanswered = Some(Duration::ZERO);
        Step::Probe
    }

    /// Whether etcd tolerates another probe, which is then counted.
    fn may_probe(&mut self, sight: Sight) -> bool {
        if sight.answered {
            self.strikes = 0;
            return true;
        }
        let since = self.probed.map(|probed| sight.now.since(probed));
        match since {
            None => true,
            Some(since) if since >= TOLERATED_PROBE_INTERVAL && sight.streams => true,
            Some(since) if since >= PROBE_AGAIN && self.strikes < MAX_STRIKES => {
                self.strikes += 1;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Sight = Sight {
        now: Timestamp::ZERO,
        heard: 0,
        expects: false,
        streams: false,
        answered: false,
        wanted: false,
    };
    const EXPECTS: Sight = Sight {
        expects: true,
        streams: true,
        ..NOTHING
    };

    /// A connection that is looked at whenever the last step requests it.
    struct Looks {
        liveness: Liveness,
        now: Timestamp,
        sight: Sight,
    }

    impl Looks {
        fn at(sight: Sight) -> Self {
            let (now, liveness) = (Timestamp::ZERO, Liveness::new(Timestamp::ZERO));
            Self {
                liveness,
                now,
                sight,
            }
        }

        fn look(&mut self) -> Step {
            let now = self.now;
            self.liveness.look(Sight { now, ..self.sight })
        }

        /// Returns the steps until `end_ms` other than plain looks, each with its time in ms.
        fn until(&mut self, end_ms: u64) -> Vec<(u64, Step)> {
            let mut steps = Vec::new();
            loop {
                let step = self.look();
                let ms = self.now.as_nanos() / 1_000_000;
                if !matches!(step, Step::Look(_)) {
                    steps.push((ms, step));
                }
                self.now = self.now
                    + match step {
                        Step::Look(due) => due,
                        Step::Sleep | Step::Broken => return steps,
                        Step::Probe | Step::Silent => LOOK_INTERVAL,
                    };
                if self.now.as_nanos() / 1_000_000 > end_ms {
                    return steps;
                }
            }
        }
    }

    #[test]
    fn nothing_is_done_while_nothing_is_expected() {
        assert_eq!(Looks::at(NOTHING).look(), Step::Sleep);
    }

    #[test]
    fn an_endpoint_that_answers_no_probe_is_silent_and_then_broken() {
        let steps = Looks::at(EXPECTS).until(10_000);
        let at = |wanted: Step| {
            let found = steps.iter().find(|(_, step)| *step == wanted);
            found.map(|(ms, _)| *ms)
        };
        assert_eq!(at(Step::Probe), Some(250));
        assert_eq!(at(Step::Silent), Some(1_000));
        assert_eq!(at(Step::Broken), Some(2_000));
    }

    #[test]
    fn one_that_answers_probes_is_there_and_probed_as_often_as_etcd_bears() {
        let mut looks = Looks::at(EXPECTS);
        let mut probes = Vec::new();
        while looks.now < Timestamp::ZERO + Duration::from_secs(20) {
            match looks.look() {
                Step::Look(due) => looks.now = looks.now + due,
                Step::Probe => {
                    probes.push(looks.now.as_nanos() / 1_000_000);
                    looks.sight.heard += 1;
                }
                step => panic!("{step:?} at {:?}", looks.now),
            }
        }
        // One probe is free, two are counted, and from then on they keep to the tolerated interval.
        assert_eq!(probes[..3], [250, 1_250, 2_250]);
        assert!(probes[3..].windows(2).all(|two| two[1] - two[0] >= 5_500));
        assert!(probes[3] >= 2_250 + 5_500, "{probes:?}");

        // A reply to a request resets the count.
        looks.sight.answered = true;
        let from = looks.now;
        while looks.look() != Step::Probe {
            looks.now = looks.now + LOOK_INTERVAL;
        }
        assert!(looks.now.since(from) <= 2 * PROBE_AFTER);
    }

    #[test]
    fn a_connection_without_streams_is_not_probed_forever() {
        let mut looks = Looks::at(Sight {
            streams: false,
            ..EXPECTS
        });
        let mut probes = 0;
        for _ in 0..1_000 {
            match looks.look() {
                Step::Probe => {
                    probes += 1;
                    looks.sight.heard += 1;
                }
                Step::Look(_) => {}
                step => panic!("{step:?}"),
            }
            looks.now = looks.now + LOOK_INTERVAL;
        }
        assert_eq!(probes, 3);
    }

    #[test]
    fn open_streams_are_probed_rarely() {
        let mut looks = Looks::at(Sight {
            streams: true,
            ..NOTHING
        });
        assert_eq!(looks.look(), Step::Look(IDLE_PROBE_AFTER));
        assert_eq!(
            looks.until(100_000)[..1],
            [(6_000, Step::Probe)],
            "a silent connection is then broken like any other"
        );
        assert_eq!(looks.liveness.unanswered, Some(BROKEN_AFTER));
    }

    #[test]
    fn a_sign_of_life_is_asked_for_at_once_when_somebody_waits() {
        let mut looks = Looks::at(Sight {
            wanted: true,
            ..NOTHING
        });
        assert_eq!(looks.look(), Step::Probe);
        assert!(looks.liveness.is_probing());
        looks.sight.heard += 1;
        assert_eq!(
            looks.look(),
            Step::Sleep,
            "etcd would not tolerate another probe"
        );
        assert!(!looks.liveness.is_probing());
    }

    #[test]
    fn time_in_which_nobody_listened_is_no_silence() {
        let mut looks = Looks::at(EXPECTS);
        assert_eq!(looks.until(250), [(250, Step::Probe)]);
        // The process was stopped and resumes: its first look comes before it has read anything.
        looks.now = looks.now + Duration::from_secs(3_600);
        assert_eq!(looks.look(), Step::Look(LOOK_INTERVAL));
        looks.sight.heard += 1;
        looks.now = looks.now + LOOK_INTERVAL;
        assert_eq!(looks.look(), Step::Look(LOOK_INTERVAL));
        assert_eq!(looks.liveness.unanswered, None);
    }
}
