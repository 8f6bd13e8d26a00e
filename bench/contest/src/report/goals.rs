//! The goals for speed that the session can judge.

use std::fmt;

use bench_kit::{Losing, Summary};

use super::figures::{digits, scenario, special_scenario};
use crate::session::{ContenderProgram, Load, Run, Scenario, SessionRecord};

/// Up to which figure, or from which one on, a goal is met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// It is met by this and more.
    AtLeast(f64),
    /// It is met by this and less.
    AtMost(f64),
}

impl Limit {
    /// Whether a figure meets it.
    #[must_use]
    pub fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(limit) => figure >= limit,
            Self::AtMost(limit) => figure <= limit,
        }
    }

    /// A figure divided by the limit, if that is not zero.
    #[must_use]
    pub fn share_of(self, figure: f64) -> Option<f64> {
        let (Self::AtLeast(limit) | Self::AtMost(limit)) = self;
        (limit != 0.0).then(|| figure / limit)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
        }
    }
}

/// A goal, and the figure of each contender for it.
#[derive(Debug, Clone)]
pub struct GoalLine {
    /// Its number.
    pub number: usize,
    /// The figure that is measured.
    pub what: &'static str,
    /// When it is met.
    pub limit: Limit,
    /// The figures by contender, in the order of the session.
    pub figures: Vec<(String, Option<Summary>)>,
}

impl GoalLine {
    /// The figure of a contender.
    #[must_use]
    pub fn of(&self, contender: &str) -> Option<Summary> {
        let found = self.figures.iter().find(|(key, _)| key == contender);
        found.and_then(|(_, figure)| *figure)
    }

    /// Whether our median meets it, in words.
    #[must_use]
    pub fn verdict(&self) -> String {
        match self.of(ContenderProgram::OURS) {
            None => "not measured".to_owned(),
            Some(figure) if self.limit.is_met_by(figure.median) => "**met**".to_owned(),
            Some(_) => "not met".to_owned(),
        }
    }

    /// Our median for each of the limit.
    #[must_use]
    pub fn share(&self) -> String {
        let figure = self.of(ContenderProgram::OURS);
        let share = figure.and_then(|figure| self.limit.share_of(figure.median));
        share.map_or_else(|| "–".to_owned(), |share| format!("{} ×", digits(share)))
    }
}

/// The figure of a contender in a session.
type Figure = fn(&SessionRecord, &str) -> Option<Summary>;

/// The goals, with what is measured for them.
const GOALS: [(usize, &str, Limit, Figure); 21] = [
    (
        1,
        "small, 64 in flight: rate by raw TCP's",
        Limit::AtLeast(0.60),
        |session, key| rate_by_raw(session, key, 64, Scenario::SMALL, None, false),
    ),
    (
        1,
        "the same with one worker thread a process",
        Limit::AtLeast(0.85),
        |session, key| rate_by_raw(session, key, 64, Scenario::SMALL, Some(1), false),
    ),
    (
        1,
        "small, 64 in flight: CPU by raw TCP's",
        Limit::AtMost(1.9),
        |session, key| {
            let record = scenario(session, Load::Closed(64), Scenario::SMALL)?;
            record.ratio_to_raw(key, Run::cpu_per_request)
        },
    ),
    (
        1,
        "small, 64 in flight: rate by tonic unary's",
        Limit::AtLeast(12.0),
        |session, key| small_rate_by(session, key, ContenderProgram::UNARY, 64),
    ),
    (
        1,
        "small, 64 in flight: rate by the Go grid's",
        Limit::AtLeast(18.0),
        |session, key| small_rate_by(session, key, ContenderProgram::GO_GRID, 64),
    ),
    (
        1,
        "small, 64 in flight: rate by elfo's",
        Limit::AtLeast(2.0),
        |session, key| small_rate_by(session, key, ContenderProgram::ELFO, 64),
    ),
    (
        2,
        "small, 1,024 in flight: rate by raw TCP's",
        Limit::AtLeast(0.55),
        |session, key| rate_by_raw(session, key, 1024, Scenario::SMALL, None, false),
    ),
    (
        2,
        "small, 1,024 in flight: rate by tonic unary's",
        Limit::AtLeast(25.0),
        |session, key| small_rate_by(session, key, ContenderProgram::UNARY, 1024),
    ),
    (
        2,
        "small, 1,024 in flight: failed requests in all rounds",
        Limit::AtMost(0.0),
        failures,
    ),
    (
        3,
        "sequential: rate by raw TCP's",
        Limit::AtLeast(1.1),
        |session, key| rate_by_raw(session, key, 1, Scenario::SMALL, None, false),
    ),
    (
        3,
        "sequential, pinned: rate by raw TCP's",
        Limit::AtLeast(1.1),
        |session, key| rate_by_raw(session, key, 1, Scenario::SMALL, None, true),
    ),
    (
        3,
        "sequential: p99 by raw TCP's",
        Limit::AtMost(2.0),
        |session, key| p99_by_raw(session, key, false),
    ),
    (
        3,
        "sequential, pinned: p99 by raw TCP's",
        Limit::AtMost(2.0),
        |session, key| p99_by_raw(session, key, true),
    ),
    (
        3,
        "sequential: p50 by the Go grid's",
        Limit::AtMost(1.0),
        p50_by_go,
    ),
    (
        4,
        "5 kB, 64 in flight: rate by raw TCP's",
        Limit::AtLeast(0.55),
        |session, key| rate_by_raw(session, key, 64, Scenario::MEDIUM, None, false),
    ),
    (
        4,
        "5 kB, 64 in flight: rate by the Go grid's",
        Limit::AtLeast(1.0),
        medium_rate_by_go,
    ),
    (
        4,
        "64 KiB, sequential: rate by raw TCP's",
        Limit::AtLeast(0.75),
        |session, key| rate_by_raw(session, key, 1, Scenario::LARGE, None, false),
    ),
    (
        13,
        "killed with 64 in flight: ms until all calls have ended, at worst",
        Limit::AtMost(50.0),
        |session, key| loss(session, key, Losing::Killed),
    ),
    (
        13,
        "frozen with 64 in flight: ms until all calls have ended, at worst",
        Limit::AtMost(3_000.0),
        |session, key| loss(session, key, Losing::Frozen),
    ),
    (
        13,
        "killed or frozen: failed calls to another peer meanwhile",
        Limit::AtMost(0.0),
        bystander_failures,
    ),
    (
        14,
        "small beside 4 MiB every 10 ms: p99 by that without",
        Limit::AtMost(3.0),
        mixed_by_quiet,
    ),
];

/// The goals that a session of this kind can judge.
#[must_use]
pub fn goal_lines(session: &SessionRecord) -> Vec<GoalLine> {
    let keys = || {
        session
            .contenders
            .iter()
            .map(|contender| contender.key.as_str())
    };
    let lines = GOALS.iter().map(|&(number, what, limit, figure)| GoalLine {
        number,
        what,
        limit,
        figures: keys()
            .map(|key| (key.to_owned(), figure(session, key)))
            .collect(),
    });
    lines.collect()
}

fn rate_by_raw(
    session: &SessionRecord,
    key: &str,
    in_flight: usize,
    bytes: usize,
    worker_threads: Option<usize>,
    is_pinned: bool,
) -> Option<Summary> {
    let load = Load::Closed(in_flight);
    let record = special_scenario(session, load, bytes, worker_threads, is_pinned)?;
    record.ratio_to_raw(key, |run| run.report.per_second())
}

fn small_rate_by(
    session: &SessionRecord,
    key: &str,
    other: &str,
    in_flight: usize,
) -> Option<Summary> {
    let record = scenario(session, Load::Closed(in_flight), Scenario::SMALL)?;
    record.ratio(key, other, |run| run.report.per_second())
}

fn medium_rate_by_go(session: &SessionRecord, key: &str) -> Option<Summary> {
    let record = scenario(session, Load::Closed(64), Scenario::MEDIUM)?;
    record.ratio(key, ContenderProgram::GO_GRID, |run| {
        run.report.per_second()
    })
}

fn p50_by_go(session: &SessionRecord, key: &str) -> Option<Summary> {
    let record = scenario(session, Load::Closed(1), Scenario::SMALL)?;
    record.ratio(key, ContenderProgram::GO_GRID, |run| run.report.p50_micros)
}

fn p99_by_raw(session: &SessionRecord, key: &str, is_pinned: bool) -> Option<Summary> {
    let load = Load::Closed(1);
    let record = special_scenario(session, load, Scenario::SMALL, None, is_pinned)?;
    record.ratio_to_raw(key, |run| run.report.p99_micros)
}

fn failures(session: &SessionRecord, key: &str) -> Option<Summary> {
    let record = scenario(session, Load::Closed(1024), Scenario::SMALL)?;
    let runs = &record.of(key)?.runs;
    let errors: u64 = runs.iter().map(|run| run.report.errors).sum();
    (!runs.is_empty())
        .then_some(errors as f64)
        .and_then(|errors| Summary::of([errors]))
}

/// The slowest round: all of them are to end in time. Calls that did not end while they were waited
/// for never did.
fn loss(session: &SessionRecord, key: &str, losing: Losing) -> Option<Summary> {
    let record = scenario(session, Load::Loss(losing), Scenario::SMALL)?;
    let losses = record
        .of(key)?
        .runs
        .iter()
        .filter_map(|run| run.report.loss.as_ref());
    let ends = losses.map(|loss| match loss.unended {
        0 => loss.last_millis,
        _ => f64::INFINITY,
    });
    Summary::of(ends.reduce(f64::max))
}

fn bystander_failures(session: &SessionRecord, key: &str) -> Option<Summary> {
    let losses = session.scenarios.iter().filter_map(|record| {
        let is_loss = matches!(record.scenario.load, Load::Loss(_));
        record.of(key).filter(|_| is_loss)
    });
    let losses = losses
        .flat_map(|rounds| &rounds.runs)
        .filter_map(|run| run.report.loss.as_ref());
    let bystanders = losses.filter_map(|loss| loss.bystander.as_ref());
    let failed: Option<f64> = bystanders
        .map(|report| report.failed as f64)
        .reduce(|a, b| a + b);
    Summary::of(failed)
}

fn mixed_by_quiet(session: &SessionRecord, key: &str) -> Option<Summary> {
    let mixed = session
        .scenarios
        .iter()
        .find_map(|record| match record.scenario.load {
            Load::Mixed(rate, _) => Some((record, rate)),
            _ => None,
        });
    let (mixed, rate) = mixed?;
    let quiet = scenario(session, Load::Open(rate), mixed.scenario.bytes)?;
    let quiet = quiet.figure(key, |run| run.report.p99_micros)?.median;
    let runs = &mixed.of(key)?.runs;
    Summary::of(runs.iter().map(|run| run.report.p99_micros / quiet))
}
