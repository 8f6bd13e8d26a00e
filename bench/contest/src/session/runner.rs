//! Runs a session.

use std::time::Instant;

use bench_kit::BoxError;
use testbed::Etcd;

use super::contender_program::ContenderProgram;
use super::machine::Machine;
use super::next_turn::next_turn;
use super::plan::Plan;
use super::program_run::{RunRegistry, run_program};
use super::record::{ContenderRecord, ScenarioRecord, SessionRecord};
use super::rounds::{Rounds, Run};
use super::scenario::Scenario;
use super::time_budget::TimeBudget;

/// A contender that failed in so many scenarios in a row, without one round, is not run any more:
/// it would only take the time of the others.
const MAX_FAILED_SCENARIOS: usize = 2;

/// Runs all scenarios of a plan with all contenders that can be run.
///
/// # Errors
///
/// If nothing can be said about the machine.
pub fn run_session(plan: &Plan, programs: &[ContenderProgram]) -> Result<SessionRecord, BoxError> {
    let etcd = Etcd::start();
    let registry = RunRegistry {
        url: etcd.url(),
        process: etcd.id(),
    };
    let mut contenders: Vec<_> = programs
        .iter()
        .map(|program| ContenderRecord {
            key: program.key.to_owned(),
            about: program.about().map_err(|error| error.to_string()),
            was_given_up: false,
        })
        .collect();
    let built = programs.iter().zip(&contenders);
    let mut able: Vec<_> = built
        .filter_map(|(program, record)| record.about.is_ok().then_some((program, 0)))
        .collect();
    let keys: Vec<_> = able.iter().map(|(program, _)| program.key).collect();
    let budget = TimeBudget::new(Instant::now(), plan.bound, plan.expected_seconds(&keys));
    let mut scenarios = Vec::new();
    for (index, scenario) in plan.scenarios.iter().enumerate() {
        let takes_part = able
            .iter()
            .filter(|(program, _)| scenario.is_for(program.key));
        let takes_part = takes_part.map(|(program, _)| (*program, Rounds::default()));
        let turns = Turns {
            scenario,
            plan,
            registry: &registry,
            repeats_until: budget.repeats_until(index),
        };
        let record = turns.run(takes_part.collect());
        for (program, failed) in &mut able {
            *failed = match record.of(program.key) {
                Some(rounds) if rounds.runs.is_empty() && !rounds.failures.is_empty() => {
                    *failed + 1
                }
                Some(_) => 0,
                None => *failed,
            };
        }
        able.retain(|(_, failed)| *failed < MAX_FAILED_SCENARIOS);
        scenarios.push(record);
    }
    for contender in &mut contenders {
        let is_able = able.iter().any(|(program, _)| program.key == contender.key);
        contender.was_given_up = contender.about.is_ok() && !is_able;
    }
    Ok(SessionRecord {
        machine: Machine::read(etcd.version())?,
        seconds: plan.seconds,
        warm_up: plan.warm_up,
        scenarios,
        contenders,
    })
}

/// The turns of one scenario.
struct Turns<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    registry: &'a RunRegistry,
    repeats_until: Option<Instant>,
}

impl Turns<'_> {
    /// Runs each contender once in every turn, until all have their rounds.
    fn run(&self, mut all: Vec<(&ContenderProgram, Rounds)>) -> ScenarioRecord {
        let scenario = self.scenario;
        let drops_noise = self.plan.drops_noise && scenario.needs_quiet();
        let mut cycle = 0;
        loop {
            let may_repeat = self.repeats_until.is_none_or(|end| Instant::now() < end);
            let rounds = all.iter().map(|(program, rounds)| (program.key, rounds));
            let turn = next_turn(scenario, rounds, may_repeat);
            if turn.is_empty() {
                break;
            }
            for (program, rounds) in &mut all {
                if turn.contains(&program.key) {
                    let outcome = run_program(program, scenario, self.plan, self.registry, cycle);
                    let outcome = outcome.map_err(|error| error.to_string());
                    eprintln!("{scenario}: {}: {}", program.key, described(&outcome));
                    rounds.add(outcome, drops_noise);
                }
            }
            // The order changes, so that what slows the next run down favours nobody.
            all.reverse();
            cycle += 1;
        }
        if cycle % 2 == 1 {
            all.reverse();
        }
        ScenarioRecord {
            scenario: scenario.clone(),
            rounds: all
                .into_iter()
                .map(|(program, rounds)| (program.key.to_owned(), rounds))
                .collect(),
        }
    }
}

/// A line that shows the progress.
fn described(outcome: &Result<Run, String>) -> String {
    let run = match outcome {
        Ok(run) => run,
        Err(why) => return why.clone(),
    };
    let report = &run.report;
    if let Some(loss) = &report.loss {
        let (last, unended) = (loss.last_millis, loss.unended);
        return format!("the last call ended after {last:.1} ms, {unended} never");
    }
    format!(
        "{:.0} requests/s, p50 {:.1} µs, p99 {:.1} µs, {} errors, CPU {:.2} µs/request, foreign \
         {:.1} %, steal {:.1} %",
        report.per_second(),
        report.p50_micros,
        report.p99_micros,
        report.errors,
        run.cpu_per_request(),
        run.noise.foreign_share * 100.0,
        run.noise.steal_share * 100.0
    )
}
