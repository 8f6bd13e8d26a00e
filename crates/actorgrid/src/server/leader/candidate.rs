//! Decides whether and when this peer starts the leader.
//!
//! Every peer is a candidate: it watches the leader's key and starts the leader when nobody holds
//! the name. The registry decides which peer wins; the candidate only decides when to try. While
//! the key exists, it does nothing: the deletion of the key is an event.
//!
//! Two waits delay a start:
//! - the back-off after failures of this peer's own leader. Nothing shortens it, and other peers do
//!   not share it, so the peer on which the leader fails waits longest;
//! - the pause after a start whose outcome shows that the watch of the key is late or that the
//!   registry has trouble. The next report of the watch ends it.

use std::time::Duration;

use crate::back_off::{BackOffPolicy, RandomShare};
use crate::environment::Timestamp;

/// A leader that runs for this long did not fail at its start: the next one starts without
/// back-off.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// The back-off after consecutive failures; the first failure has none. At its limit, a leader that
/// fails for hours costs two starts per minute and peer.
const BACK_OFF: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(100),
    Duration::from_secs(30),
    RandomShare::Quarter,
);

/// The pause after a start that was rejected although no key is seen, or that the registry did not
/// decide. The watch is rarely later than that, and the registry easily handles ten tries a second.
/// The pause does not grow.
const PAUSE: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(100),
    Duration::from_millis(100),
    RandomShare::Quarter,
);

/// The events that a candidate decides on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CandidateEvent {
    /// The watch reports whether the leader's key exists, under any holder.
    LeaderSeen(bool),
    /// The requested start has ended.
    StartFinished(StartOutcome),
    /// The leader that this peer started has ended, in whatever way; its name may not be free yet.
    /// Not reported when the peer itself shuts down.
    LeaderEnded,
    /// The time that the candidate waited for has come.
    Due,
}

/// The outcome of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartOutcome {
    /// The leader is running on this peer.
    Started,
    /// Another holder has the name.
    Taken,
    /// The name was won, and the leader failed before it ran: a failure of the leader.
    Failed,
    /// The registry failed, and nothing is running: not a failure of the leader.
    Unsettled,
}

/// The next step of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CandidateAction {
    /// Start the leader now, and report the outcome.
    Start,
    /// Do nothing before this time, unless there is another event.
    WaitUntil(Timestamp),
    /// Do nothing until there is an event.
    WaitForEvent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnLeader {
    /// This peer runs no leader and starts none.
    Idle,
    /// A start is in flight. `absent`: the watch has reported meanwhile that the key does not
    /// exist; `ended`: the end of the leader was reported before its start.
    Starting { absent: bool, ended: bool },
    /// This peer's leader is running.
    Leading { since: Timestamp },
}

/// The leader candidate of one session of a peer.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The last report of the watch. Nothing is started before the first one.
    seen: Option<bool>,
    own: OwnLeader,
    /// Consecutive failures of this peer's leader.
    failures: u32,
    /// The end of the back-off after those failures.
    back_off_until: Timestamp,
    /// The end of the pause, if there is one.
    paused_until: Option<Timestamp>,
}

impl Candidate {
    pub(crate) const fn new() -> Self {
        Self {
            seen: None,
            own: OwnLeader::Idle,
            failures: 0,
            back_off_until: Timestamp::ZERO,
            paused_until: None,
        }
    }

    /// Takes an event and returns the next step, which replaces the previous one.
    ///
    /// `random_unit` is uniform in `[0, 1)`. Impossible events (the end of a start that was not
    /// requested) change nothing.
    pub(crate) fn handle(
        &mut self,
        event: CandidateEvent,
        now: Timestamp,
        random_unit: f64,
    ) -> CandidateAction {
        match event {
            CandidateEvent::LeaderSeen(present) => self.leader_seen(present),
            CandidateEvent::StartFinished(outcome) => {
                self.start_finished(outcome, now, random_unit)
            }
            CandidateEvent::LeaderEnded => self.leader_ended(now, random_unit),
            CandidateEvent::Due => {}
        }
        self.next(now)
    }

    fn leader_seen(&mut self, present: bool) {
        self.seen = Some(present);
        self.paused_until = None;
        if let OwnLeader::Starting { absent, .. } = &mut self.own {
            *absent |= !present;
        }
    }

    fn start_finished(&mut self, outcome: StartOutcome, now: Timestamp, random_unit: f64) {
        let OwnLeader::Starting { absent, ended } = self.own else {
            return;
        };
        self.own = OwnLeader::Idle;
        match outcome {
            StartOutcome::Started if !ended => self.own = OwnLeader::Leading { since: now },
            StartOutcome::Started | StartOutcome::Failed => self.failed(now, random_unit),
            // The holder because of which we were rejected may be gone again.
            StartOutcome::Taken if absent => {}
            StartOutcome::Taken | StartOutcome::Unsettled => {
                self.paused_until = Some(now + PAUSE.after(1, random_unit));
            }
        }
    }

    fn leader_ended(&mut self, now: Timestamp, random_unit: f64) {
        match &mut self.own {
            OwnLeader::Idle => {}
            OwnLeader::Starting { ended, .. } => *ended = true,
            OwnLeader::Leading { since } => {
                let settled = now.since(*since) >= SETTLED_AFTER;
                self.own = OwnLeader::Idle;
                if settled {
                    self.failures = 0;
                } else {
                    self.failed(now, random_unit);
                }
            }
        }
    }

    fn failed(&mut self, now: Timestamp, random_unit: f64) {
        self.failures = self.failures.saturating_add(1);
        self.back_off_until = now + BACK_OFF.after(self.failures - 1, random_unit);
    }

    fn next(&mut self, now: Timestamp) -> CandidateAction {
        if self.own != OwnLeader::Idle || self.seen != Some(false) {
            return CandidateAction::WaitForEvent;
        }
        let at = self
            .paused_until
            .map_or(self.back_off_until, |end| end.max(self.back_off_until));
        if now < at {
            return CandidateAction::WaitUntil(at);
        }
        self.own = OwnLeader::Starting {
            absent: false,
            ended: false,
        };
        CandidateAction::Start
    }
}

#[cfg(test)]
mod tests {
    use super::CandidateAction::{Start, WaitForEvent};
    use super::CandidateEvent::{Due, LeaderEnded, LeaderSeen, StartFinished};
    use super::StartOutcome::{Failed, Started, Taken, Unsettled};
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn until(millis: u64) -> CandidateAction {
        CandidateAction::WaitUntil(at(millis))
    }

    /// A candidate that receives events at given milliseconds, without jitter.
    struct Script(Candidate);

    impl Script {
        fn new() -> Self {
            Self(Candidate::new())
        }

        /// A candidate with a start in flight, requested at time zero.
        fn starting() -> Self {
            Self::new().then(0, LeaderSeen(false), Start)
        }

        #[track_caller]
        fn then(mut self, millis: u64, event: CandidateEvent, next: CandidateAction) -> Self {
            assert_eq!(self.0.handle(event, at(millis), 1.0), next);
            self
        }
    }

    #[test]
    fn starts_nothing_before_the_first_report_of_the_watch() {
        Script::new()
            .then(0, Due, WaitForEvent)
            .then(0, StartFinished(Failed), WaitForEvent)
            .then(0, StartFinished(Started), WaitForEvent)
            .then(0, LeaderEnded, WaitForEvent)
            .then(1, LeaderSeen(true), WaitForEvent)
            .then(9, Due, WaitForEvent)
            .then(9, LeaderSeen(false), Start);
    }

    #[test]
    fn starts_once_and_waits_for_the_outcome() {
        Script::starting()
            .then(1, Due, WaitForEvent)
            .then(2, LeaderSeen(false), WaitForEvent)
            .then(3, LeaderSeen(true), WaitForEvent)
            .then(4, StartFinished(Started), WaitForEvent)
            .then(90_000, Due, WaitForEvent);
    }

    #[test]
    fn its_own_running_leader_is_not_started_again_when_the_key_goes() {
        Script::starting()
            .then(1, StartFinished(Started), WaitForEvent)
            .then(2, LeaderSeen(true), WaitForEvent)
            .then(20_000, LeaderSeen(false), WaitForEvent)
            .then(20_001, LeaderEnded, Start);
    }

    #[test]
    fn waits_for_the_key_of_its_own_ended_leader_to_go() {
        Script::starting()
            .then(1, LeaderSeen(true), WaitForEvent)
            .then(2, StartFinished(Started), WaitForEvent)
            .then(20_000, LeaderEnded, WaitForEvent)
            .then(20_000, Due, WaitForEvent)
            .then(20_007, LeaderSeen(false), Start);
    }

    #[test]
    fn after_a_lost_race_the_winner_is_watched() {
        Script::starting()
            .then(1, LeaderSeen(true), WaitForEvent)
            .then(2, StartFinished(Taken), WaitForEvent)
            .then(50_000, LeaderSeen(false), Start);
        Script::starting()
            .then(2, StartFinished(Taken), until(102))
            .then(9, LeaderSeen(true), WaitForEvent)
            .then(102, Due, WaitForEvent)
            .then(103, LeaderSeen(false), Start);
    }

    #[test]
    fn a_winner_that_went_while_the_start_was_in_flight_is_not_overlooked() {
        Script::starting()
            .then(1, LeaderSeen(true), WaitForEvent)
            .then(2, LeaderSeen(false), WaitForEvent)
            .then(3, StartFinished(Taken), Start);
        Script::starting()
            .then(1, LeaderSeen(false), WaitForEvent)
            .then(2, LeaderSeen(false), WaitForEvent)
            .then(3, StartFinished(Taken), Start)
            // A report of the watch during the first start does not speed up the third.
            .then(4, StartFinished(Taken), until(104));
        Script::starting()
            .then(1, LeaderSeen(false), WaitForEvent)
            .then(2, LeaderSeen(true), WaitForEvent)
            .then(3, StartFinished(Taken), WaitForEvent);
    }

    #[test]
    fn a_name_that_is_taken_without_a_key_in_sight_is_not_tried_in_a_loop() {
        Script::starting()
            .then(10, StartFinished(Taken), until(110))
            .then(60, Due, until(110))
            .then(109, Due, until(110))
            .then(110, Due, Start)
            .then(115, StartFinished(Taken), until(215))
            .then(120, LeaderSeen(false), Start);
    }

    #[test]
    fn trouble_of_the_registry_is_no_failure_of_the_leader() {
        let mut script = Script::starting();
        for n in 1..20 {
            script = script
                .then(n * 100, StartFinished(Unsettled), until((n + 1) * 100))
                .then((n + 1) * 100, Due, Start);
        }
        script.then(2_000, StartFinished(Failed), Start).then(
            2_000,
            StartFinished(Failed),
            until(2_100),
        );
        Script::starting()
            .then(1, LeaderSeen(false), WaitForEvent)
            .then(5, StartFinished(Unsettled), until(105))
            .then(50, LeaderSeen(false), Start);
    }

    #[test]
    fn a_leader_that_fails_is_restarted_at_once_then_ever_later() {
        let mut script = Script::starting().then(0, StartFinished(Failed), Start);
        let mut now = 0;
        for back_off in [
            100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000,
        ] {
            script = script
                .then(now, StartFinished(Failed), until(now + back_off))
                .then(now + back_off - 1, Due, until(now + back_off))
                // The watch does not shorten the back-off.
                .then(now + back_off - 1, LeaderSeen(false), until(now + back_off))
                .then(now + back_off, Due, Start);
            now += back_off;
        }
    }

    #[test]
    fn the_longer_of_pause_and_back_off_counts() {
        // A back-off of 100 ms from zero on, and a second start that was requested before it.
        let held_back = |end| {
            let mut candidate = Candidate::new();
            candidate.seen = Some(false);
            candidate.back_off_until = at(end);
            candidate.own = OwnLeader::Starting {
                absent: false,
                ended: false,
            };
            Script(candidate)
        };
        held_back(500).then(0, StartFinished(Taken), until(500));
        held_back(50).then(0, StartFinished(Taken), until(100));
    }

    #[test]
    fn a_leader_that_ends_soon_has_failed() {
        Script::starting()
            .then(0, StartFinished(Started), WaitForEvent)
            .then(9_999, LeaderEnded, Start)
            .then(10_000, StartFinished(Started), WaitForEvent)
            .then(19_999, LeaderEnded, until(20_099))
            .then(20_099, Due, Start)
            .then(20_099, StartFinished(Failed), until(20_299));
    }

    #[test]
    fn ten_seconds_of_life_forgive_all_failures() {
        Script::starting()
            .then(0, StartFinished(Failed), Start)
            .then(0, StartFinished(Failed), until(100))
            .then(100, Due, Start)
            .then(200, StartFinished(Started), WaitForEvent)
            .then(10_200, LeaderEnded, Start)
            .then(10_200, StartFinished(Failed), Start)
            .then(10_200, StartFinished(Failed), until(10_300));
    }

    #[test]
    fn an_end_reported_before_its_start_is_not_lost() {
        Script::starting()
            .then(1, LeaderEnded, WaitForEvent)
            .then(2, StartFinished(Started), Start)
            .then(3, StartFinished(Started), WaitForEvent)
            .then(4, LeaderEnded, until(104))
            .then(5, LeaderEnded, until(104));
        // One failure, not two.
        Script::starting()
            .then(1, LeaderEnded, WaitForEvent)
            .then(2, StartFinished(Failed), Start)
            .then(3, StartFinished(Failed), until(103));
    }

    #[test]
    fn the_peer_on_which_it_fails_waits_longest() {
        let failing = Script::starting()
            .then(0, StartFinished(Failed), Start)
            .then(1, LeaderSeen(true), WaitForEvent)
            .then(2, StartFinished(Failed), WaitForEvent);
        let other = Script::new()
            .then(0, LeaderSeen(false), Start)
            .then(1, LeaderSeen(true), WaitForEvent)
            .then(2, StartFinished(Taken), WaitForEvent);
        failing.then(3, LeaderSeen(false), until(102));
        other.then(3, LeaderSeen(false), Start);
    }

    #[test]
    fn a_quarter_of_every_wait_is_random() {
        for (random_unit, pause, back_off) in [(0.0, 75, 150), (0.4, 85, 170), (1.0, 100, 200)] {
            let mut candidate = Candidate::new();
            let mut handle = |event| candidate.handle(event, at(0), random_unit);
            assert_eq!(handle(LeaderSeen(false)), Start);
            assert_eq!(handle(StartFinished(Taken)), until(pause));
            assert_eq!(handle(LeaderSeen(false)), Start);
            assert_eq!(handle(StartFinished(Failed)), Start);
            assert_eq!(handle(StartFinished(Failed)), until(back_off / 2));
            candidate.own = OwnLeader::Leading { since: at(0) };
            assert_eq!(
                candidate.handle(LeaderEnded, at(0), random_unit),
                until(back_off)
            );
        }
    }

    #[test]
    fn the_back_off_stays_at_its_limit() {
        for (failures, seconds) in [(33, 30), (34, 30), (u32::MAX, 30)] {
            let mut candidate = Candidate::new();
            candidate.failures = failures - 1;
            candidate.seen = Some(false);
            candidate.own = OwnLeader::Leading { since: at(0) };
            let next = candidate.handle(LeaderEnded, at(0), 1.0);
            assert_eq!(next, until(1000 * seconds));
            assert_eq!(candidate.failures, failures);
        }
    }
}
