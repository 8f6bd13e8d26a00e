//! Runs a session of the bench and writes its report, or writes the report of a session anew.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bench_kit::BoxError;
use clap::Parser;
use contest::report::{goal_lines, write_report};
use contest::session::{ContenderFolders, ContenderProgram, Plan, SessionRecord, run_session};

/// Measures the contenders of the bench.
#[derive(Parser)]
enum Options {
    /// Measures all contenders, and fails if ours does.
    Run(RunOptions),
    /// Measures those of this workspace for a moment, and fails if anything does.
    Smoke(RunOptions),
    /// Writes the report of a session that was measured before.
    Report {
        /// The file that the session was written to.
        session: PathBuf,
        /// The folder of the report.
        folder: PathBuf,
    },
}

#[derive(clap::Args)]
struct RunOptions {
    /// The folder of the programs of this workspace.
    #[arg(long)]
    own: PathBuf,
    /// The folder of the programs of other Rust libraries.
    #[arg(long)]
    foreign: Option<PathBuf>,
    /// The folder of the programs of Go libraries.
    #[arg(long)]
    go: Option<PathBuf>,
    /// The folder of the report.
    #[arg(long)]
    report: PathBuf,
    /// The file that the session is written to, for another report of it.
    #[arg(long)]
    session: PathBuf,
    /// Quiet rounds of each contender in each scenario.
    #[arg(long, default_value_t = Plan::ROUNDS)]
    rounds: usize,
    /// How long each run measures.
    #[arg(long, default_value_t = Plan::SECONDS)]
    seconds: f64,
    /// After so long, noisy rounds are not repeated any more.
    #[arg(long, default_value_t = Plan::MINUTES)]
    minutes: u64,
    /// Only these contenders, beside raw TCP; all of them otherwise.
    #[arg(long)]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let done = match Options::parse() {
        Options::Run(options) => run(&options),
        Options::Smoke(options) => smoke(&options),
        Options::Report { session, folder } => report(&session, &folder),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("contest: {error}");
            ExitCode::FAILURE
        }
    }
}

impl RunOptions {
    fn folders(&self) -> ContenderFolders {
        ContenderFolders {
            own: self.own.clone(),
            foreign: self.foreign.clone().unwrap_or_default(),
            go: self.go.clone().unwrap_or_default(),
        }
    }

    fn measure(
        &self,
        plan: &Plan,
        mut programs: Vec<ContenderProgram>,
    ) -> Result<SessionRecord, BoxError> {
        if !self.only.is_empty() {
            let chosen = |key: &str| self.only.iter().any(|only| only == key);
            programs.retain(|program| program.key == ContenderProgram::RAW || chosen(program.key));
        }
        let session = run_session(plan, &programs)?;
        std::fs::write(&self.session, serde_json::to_vec(&session)?)?;
        write_report(&session, &self.report)?;
        for line in goal_lines(&session) {
            let (number, what, limit) = (line.number, line.what, line.limit);
            println!(
                "goal {number}, {what}: {} of {limit}, {}",
                line.share(),
                line.verdict()
            );
        }
        println!("{}", self.report.join("RESULTS.md").display());
        Ok(session)
    }
}

fn run(options: &RunOptions) -> Result<(), BoxError> {
    let bound = Duration::from_secs(60 * options.minutes);
    let plan = Plan::full(options.rounds, options.seconds, bound);
    let session = options.measure(&plan, ContenderProgram::all(&options.folders()))?;
    // Others that failed are lines of the report.
    match session.flaws() {
        flaws if flaws.is_empty() => Ok(()),
        flaws => Err(flaws.join("\n").into()),
    }
}

fn smoke(options: &RunOptions) -> Result<(), BoxError> {
    let session = options.measure(&Plan::smoke(), ContenderProgram::own(&options.folders()))?;
    let complaints = session.complaints();
    if complaints.is_empty() {
        println!("all contenders answered all requests in all scenarios");
        Ok(())
    } else {
        Err(complaints.join("\n").into())
    }
}

fn report(session: &Path, folder: &Path) -> Result<(), BoxError> {
    let session: SessionRecord = serde_json::from_slice(&std::fs::read(session)?)?;
    write_report(&session, folder)
}
