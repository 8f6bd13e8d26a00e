//! Runs a session.

use bench_kit::BoxError;
use testbed::Etcd;

use super::contender_program::ContenderProgram;
use super::machine::Machine;
use super::plan::Plan;
use super::program_run::{RunRegistry, run_program};
use super::record::{ContenderRecord, ScenarioRecord, SessionRecord};
use super::rounds::{Rounds, Run};
use super::scenario::Scenario;

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
    let contenders: Vec<_> = programs
        .iter()
        .map(|program| ContenderRecord {
            key: program.key.to_owned(),
            about: program.about().map_err(|error| error.to_string()),
        })
        .collect();
    let built = programs.iter().zip(&contenders);
    let built: Vec<_> = built
        .filter_map(|(program, record)| record.about.is_ok().then_some(program))
        .collect();
    let scenarios = plan.scenarios.iter();
    let scenarios = scenarios.map(|scenario| run_scenario(scenario, plan, &built, &registry));
    Ok(SessionRecord {
        machine: Machine::read()?,
        seconds: plan.seconds,
        warm_up: plan.warm_up,
        scenarios: scenarios.collect(),
        contenders,
    })
}

/// Runs each contender once in every turn, until all have their rounds.
fn run_scenario(
    scenario: &Scenario,
    plan: &Plan,
    programs: &[&ContenderProgram],
    registry: &RunRegistry,
) -> ScenarioRecord {
    let takes_part = programs
        .iter()
        .filter(|program| scenario.is_for(program.key));
    let mut all: Vec<_> = takes_part
        .map(|program| (*program, Rounds::default()))
        .collect();
    let drops_noise = plan.drops_noise && scenario.needs_quiet();
    let mut cycle = 0;
    while all
        .iter()
        .any(|(_, rounds)| rounds.needs_more(scenario.rounds))
    {
        for (program, rounds) in &mut all {
            if rounds.needs_more(scenario.rounds) {
                let outcome = run_program(program, scenario, plan, registry, cycle);
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
