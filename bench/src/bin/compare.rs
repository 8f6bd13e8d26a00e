//! Runs two builds of `load` in turn and prints how many requests per second the second one does
//! for each of the first; `compare.sh` makes both builds.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use actorgrid::BoxError;
use bench::{LoadCase, LoadRoute, Measurement, Summary};
use clap::Parser;

/// A round is repeated while the machine is busy with other things, but not for ever: there are at
/// most so many attempts for each round that is asked for.
const ATTEMPTS_PER_ROUND: usize = 3;

/// Compares two builds of the load generator.
#[derive(Parser)]
struct Options {
    /// `load` of the commit that is compared with.
    #[arg(long)]
    base: PathBuf,
    /// `load` of the current tree.
    #[arg(long)]
    current: PathBuf,
    /// Rounds per case.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each run measures.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only the cases of this route.
    #[arg(long, value_enum)]
    route: Option<LoadRoute>,
    /// Only the cases with this many requests in flight.
    #[arg(long)]
    in_flight: Option<usize>,
    /// Only the cases with messages of this many bytes.
    #[arg(long)]
    bytes: Option<usize>,
}

impl Options {
    fn chooses(&self, case: &LoadCase) -> bool {
        self.route.is_none_or(|route| route == case.route)
            && self
                .in_flight
                .is_none_or(|in_flight| in_flight == case.in_flight)
            && self.bytes.is_none_or(|bytes| bytes == case.bytes)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let cases = LoadCase::all().into_iter();
    let chosen = cases.filter(|case| options.chooses(case));
    let mut complete = true;
    for case in chosen {
        match compare(&options, case) {
            Ok((Some(summary), dropped)) => {
                println!("{case}: {summary}, {dropped} noisy rounds dropped");
            }
            Ok((None, dropped)) => {
                println!("{case}: no round was quiet enough, {dropped} dropped");
                complete = false;
            }
            Err(error) => {
                eprintln!("compare: {case}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The ratios of the rounds that count, and how many do not.
fn compare(options: &Options, case: LoadCase) -> Result<(Option<Summary>, usize), BoxError> {
    let mut ratios = Vec::new();
    let mut dropped = 0;
    for attempt in 0..options.rounds * ATTEMPTS_PER_ROUND {
        if ratios.len() == options.rounds {
            break;
        }
        // The order changes, so that what slows the second run down favours neither.
        let (base, current) = if attempt.is_multiple_of(2) {
            let base = measure(&options.base, options.seconds, case)?;
            (base, measure(&options.current, options.seconds, case)?)
        } else {
            let current = measure(&options.current, options.seconds, case)?;
            (measure(&options.base, options.seconds, case)?, current)
        };
        eprintln!("base    {base}\ncurrent {current}");
        if base.noise.is_quiet() && current.noise.is_quiet() {
            ratios.push(current.requests_per_second / base.requests_per_second);
        } else {
            dropped += 1;
        }
    }
    Ok((Summary::of(ratios), dropped))
}

fn measure(load: &Path, seconds: f64, case: LoadCase) -> Result<Measurement, BoxError> {
    let output = Command::new(load)
        .args(["run", "--route", case.route.as_str()])
        .args(["--in-flight", &case.in_flight.to_string()])
        .args(["--bytes", &case.bytes.to_string()])
        .args(["--seconds", &seconds.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{} ended with {}", load.display(), output.status).into());
    }
    let printed = String::from_utf8(output.stdout)?;
    let json = printed.lines().find(|line| line.starts_with('{'));
    Ok(serde_json::from_str(json.ok_or("load printed no result")?)?)
}
