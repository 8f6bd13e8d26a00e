//! Who runs in the next turn of a scenario.

use super::contender_program::ContenderProgram;
use super::rounds::Rounds;
use super::scenario::{Load, Scenario};

/// The keys of those that run in the next turn; nobody if the scenario is over.
///
/// A noisy round is repeated if that is allowed. As rates are compared within a turn, raw TCP runs
/// once more beside those that repeat one, and ours beside raw TCP until they were quiet together
/// as often as the scenario wants.
pub(super) fn next_turn<'k, 'r>(
    scenario: &Scenario,
    all: impl Iterator<Item = (&'k str, &'r Rounds)>,
    may_repeat: bool,
) -> Vec<&'k str> {
    let all: Vec<_> = all.collect();
    let is_due = |key: &str, rounds: &Rounds| {
        let wanted = scenario.rounds_of(key);
        rounds.needs_more(wanted) && (may_repeat || rounds.attempts() < wanted)
    };
    let due = all.iter().filter(|(key, rounds)| is_due(key, rounds));
    let mut due: Vec<_> = due.map(|(key, _)| *key).collect();
    if matches!(scenario.load, Load::Closed(_)) && may_repeat {
        let of = |key| all.iter().find(|(other, _)| *other == key).copied();
        let may_run = |(key, rounds): (&str, &Rounds)| rounds.may_run(scenario.rounds_of(key));
        let raw = of(ContenderProgram::RAW).filter(|raw| may_run(*raw));
        let ours = of(ContenderProgram::OURS).filter(|ours| may_run(*ours));
        if let (Some((_, raw)), Some((ours, rounds))) = (raw, ours)
            && raw.turns_with(rounds) < scenario.rounds
            && !due.contains(&ours)
        {
            due.push(ours);
        }
        if let Some((raw, _)) = raw
            && !due.is_empty()
            && !due.contains(&raw)
        {
            due.push(raw);
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use bench_kit::{LoadReport, Noise};

    use super::*;
    use crate::session::rounds::Run;

    fn rounds(quiet_in: &[usize], dropped: usize, failures: usize) -> Rounds {
        let run = |&cycle: &usize| Run {
            cycle,
            load_cpu_micros: 1.0,
            echo_cpu_micros: 1.0,
            noise: Noise::default(),
            report: LoadReport::default(),
        };
        Rounds {
            runs: quiet_in.iter().map(run).collect(),
            dropped,
            failures: vec!["died".to_owned(); failures],
        }
    }

    fn turn(all: &[(&'static str, Rounds)], may_repeat: bool) -> Vec<String> {
        let scenario = Scenario::new(Load::Closed(64), Scenario::SMALL, 2);
        let all = all.iter().map(|(key, rounds)| (*key, rounds));
        let mut turn = next_turn(&scenario, all, may_repeat);
        turn.sort_unstable();
        turn.into_iter().map(str::to_owned).collect()
    }

    const RAW: &str = ContenderProgram::RAW;
    const OURS: &str = ContenderProgram::OURS;

    #[test]
    fn all_run_until_they_have_their_rounds() {
        let none = || rounds(&[], 0, 0);
        assert_eq!(turn(&[(RAW, none()), ("a", none())], false), ["a", RAW]);
        let done = || rounds(&[0, 1], 0, 0);
        let all = [(RAW, done()), (OURS, done()), ("a", done())];
        assert!(turn(&all, true).is_empty());
    }

    #[test]
    fn what_fails_or_is_noisy_is_repeated_while_there_is_time() {
        let done = || rounds(&[0, 1], 0, 0);
        let all = [
            (RAW, done()),
            ("noisy", rounds(&[0], 1, 0)),
            ("died", rounds(&[], 0, 2)),
        ];
        assert_eq!(turn(&all, true), ["noisy", RAW]);
        assert!(turn(&all, false).is_empty());
        let all = [(RAW, done()), ("noisy", rounds(&[0], 5, 0))];
        assert!(turn(&all, true).is_empty());
    }

    #[test]
    fn ours_and_raw_are_quiet_together_as_often_as_is_wanted() {
        let all = [(RAW, rounds(&[0, 2], 1, 0)), (OURS, rounds(&[0, 1], 0, 0))];
        assert_eq!(turn(&all, true), [OURS, RAW]);
        assert!(turn(&all, false).is_empty());
        let all = [
            (RAW, rounds(&[0, 2], 1, 0)),
            (OURS, rounds(&[0, 1, 2], 0, 0)),
        ];
        assert!(turn(&all, true).is_empty());
    }
}
