//! One run of one contender: its echo, its load, and what both used of the machine.

use std::time::Duration;

use bench_kit::{BoxError, LoadReport, Noise, ProcessCpu, SystemCpu};

use super::contender_program::ContenderProgram;
use super::plan::Plan;
use super::rounds::Run;
use super::running_program::RunningProgram;
use super::scenario::{Load, Scenario};

/// How long a side may take to be ready: some look each other up.
const START_BOUND: Duration = Duration::from_secs(30);
/// How long a load may take beyond its window: it waits for late answers, or for calls that never
/// end.
const END_BOUND: Duration = Duration::from_secs(25);

/// The etcd that some contenders register with.
#[derive(Debug, Clone)]
pub(super) struct RunRegistry {
    pub(super) url: String,
    pub(super) process: Option<u32>,
}

/// Runs it once. `cycle` is kept with the result.
pub(super) fn run_program(
    program: &ContenderProgram,
    scenario: &Scenario,
    plan: &Plan,
    registry: &RunRegistry,
    cycle: usize,
) -> Result<Run, BoxError> {
    let processor = |number| scenario.is_pinned.then_some(number);
    let start_echo = || -> Result<_, BoxError> {
        let mut arguments = words(&["echo", "--registry", &registry.url]);
        arguments.extend(scenario.thread_options());
        let mut echo = RunningProgram::start(&program.path, &arguments, processor(0))?;
        let address = echo.line("ready ", START_BOUND);
        let address = address.map_err(|error| format!("echo: {error}"))?;
        Ok((echo, address))
    };
    let (echo, address) = start_echo()?;
    let mut arguments = words(&["load", "--address", &address, "--registry", &registry.url]);
    arguments.extend(words(&["--warm-up", &plan.warm_up.to_string()]));
    arguments.extend(words(&["--echo-process", &echo.id().to_string()]));
    arguments.extend(scenario.load_options(plan.seconds));
    let mut bystander = None;
    if matches!(scenario.load, Load::Loss(_)) && program.has_bystander() {
        let (other, address) = start_echo()?;
        arguments.extend(words(&["--bystander", &address]));
        bystander = Some(other);
    }
    let mut load = RunningProgram::start(&program.path, &arguments, processor(1))?;
    load.line("begin", START_BOUND)?;
    let before = RunCpu::read(&load, &echo, registry);
    load.line("end", Duration::from_secs_f64(plan.seconds) + END_BOUND)?;
    let after = RunCpu::read(&load, &echo, registry);
    let report = format!("{{{}", load.line("{", END_BOUND)?);
    let report: LoadReport = serde_json::from_str(&report)?;
    if report.loss.is_none() && report.requests == 0 {
        let why = report.first_error.as_deref().unwrap_or("nothing failed");
        return Err(format!("no request was answered: {why}").into());
    }
    load.stop();
    if let Some(bystander) = bystander {
        bystander.stop();
    }
    // One that was lost does not end by itself.
    if !matches!(scenario.load, Load::Loss(_)) {
        echo.stop();
    }
    let used = |of: fn(&RunCpu) -> ProcessCpu| of(&after).since(of(&before));
    let (load_cpu, echo_cpu) = (used(|cpu| cpu.load), used(|cpu| cpu.echo));
    let own = load_cpu.plus(echo_cpu).plus(used(|cpu| cpu.others));
    let noise = match (after.system, before.system) {
        (Some(after), Some(before)) => after.noise_since(before, own),
        _ => Noise::default(),
    };
    Ok(Run {
        cycle,
        load_cpu_micros: load_cpu.micros(),
        echo_cpu_micros: echo_cpu.micros(),
        noise,
        report,
    })
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// The CPU time of all processes of a run so far. A process that is gone counts as one
/// that used nothing.
struct RunCpu {
    load: ProcessCpu,
    echo: ProcessCpu,
    /// The registry, and this program.
    others: ProcessCpu,
    system: Option<SystemCpu>,
}

impl RunCpu {
    fn read(load: &RunningProgram, echo: &RunningProgram, registry: &RunRegistry) -> Self {
        let of = |process| ProcessCpu::of(process).unwrap_or_default();
        let registry = registry.process.map(of).unwrap_or_default();
        Self {
            load: of(load.id()),
            echo: of(echo.id()),
            others: registry.plus(of(std::process::id())),
            system: SystemCpu::read().ok(),
        }
    }
}
