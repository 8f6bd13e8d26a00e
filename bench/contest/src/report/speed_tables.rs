//! Tables of rates, latencies and CPU time.

use super::figures::{alone, digits, head, row, scenario, size, with_ends};
use crate::session::{ContenderProgram, ContenderRecord, Load, Run, ScenarioRecord, SessionRecord};

/// Rates and their ratios to raw TCP, of all closed loops with the defaults.
pub(super) fn rates(session: &SessionRecord) -> String {
    let mut text = "## Requests per second\n\n".to_owned();
    text += "Thousands a second, median (least–greatest) of the rounds; below it the ratio to raw \
             TCP in the same turn.\n\n";
    let records: Vec<_> = closed_loops(session).collect();
    let mut titles = vec![String::new()];
    titles.extend(records.iter().map(|record| closed_title(record)));
    text += &head(&titles);
    for contender in &session.contenders {
        let cells = records.iter().map(|record| rate_cell(record, contender));
        text += &row(std::iter::once(contender.name().to_owned()).chain(cells));
    }
    text
}

/// The closed loops with the defaults.
pub(super) fn closed_loops(session: &SessionRecord) -> impl Iterator<Item = &ScenarioRecord> {
    session.scenarios.iter().filter(|record| {
        let scenario = &record.scenario;
        let is_default = scenario.worker_threads.is_none() && !scenario.is_pinned;
        is_default && matches!(scenario.load, Load::Closed(_))
    })
}

/// The size and the requests in flight of one.
pub(super) fn closed_title(record: &ScenarioRecord) -> String {
    let bytes = size(record.scenario.bytes);
    match record.scenario.load {
        Load::Closed(in_flight) => format!("{bytes} × {in_flight}"),
        _ => bytes,
    }
}

fn rate_cell(record: &ScenarioRecord, contender: &ContenderRecord) -> String {
    let rate = record.figure(&contender.key, |run| run.report.per_second() / 1e3);
    let ratio = record.ratio_to_raw(&contender.key, |run| run.report.per_second());
    match (rate, contender.key.as_str()) {
        (None, _) => failed_cell(record, contender),
        (rate, ContenderProgram::RAW) => with_ends(rate),
        (rate, _) => format!("{}<br>{}", with_ends(rate), with_ends(ratio)),
    }
}

/// Why a contender has no figure.
fn failed_cell(record: &ScenarioRecord, contender: &ContenderRecord) -> String {
    let rounds = record.of(&contender.key);
    match rounds {
        Some(rounds) if !rounds.failures.is_empty() => "failed".to_owned(),
        Some(rounds) if rounds.dropped > 0 => "no quiet round".to_owned(),
        _ => "–".to_owned(),
    }
}

/// The CPU time of both processes for each request.
pub(super) fn cpu(session: &SessionRecord) -> String {
    let mut text = "## CPU time per request\n\n".to_owned();
    text += "Microseconds of both processes, user and system, by the operating system.\n\n";
    let records: Vec<_> = closed_loops(session).collect();
    let mut titles = vec![String::new()];
    titles.extend(records.iter().map(|record| closed_title(record)));
    text += &head(&titles);
    for contender in &session.contenders {
        let cells = records
            .iter()
            .map(|record| alone(record.figure(&contender.key, Run::cpu_per_request)));
        text += &row(std::iter::once(contender.name().to_owned()).chain(cells));
    }
    text
}

/// The latencies of one scenario.
pub(super) fn latencies(record: &ScenarioRecord, session: &SessionRecord) -> String {
    let titles = [
        "",
        "k req/s",
        "p50 µs",
        "p90",
        "p99",
        "p99.9",
        "max",
        "CPU µs",
        "failed",
        "dropped rounds",
    ];
    let mut text = head(&titles.map(str::to_owned));
    for contender in session
        .contenders
        .iter()
        .filter(|c| record.scenario.is_for(&c.key))
    {
        let of = |figure: fn(&Run) -> f64| alone(record.figure(&contender.key, figure));
        let Some(rounds) = record.of(&contender.key) else {
            continue;
        };
        let failed: u64 = rounds.runs.iter().map(|run| run.report.errors).sum();
        text += &row([
            contender.name().to_owned(),
            of(|run| run.report.per_second() / 1e3),
            of(|run| run.report.p50_micros),
            of(|run| run.report.p90_micros),
            of(|run| run.report.p99_micros),
            of(|run| run.report.p999_micros),
            of(|run| run.report.max_micros),
            of(Run::cpu_per_request),
            failed.to_string(),
            rounds.dropped.to_string(),
        ]);
    }
    text
}

/// Small requests beside large ones.
pub(super) fn mixed(session: &SessionRecord) -> String {
    let mixed = session
        .scenarios
        .iter()
        .find_map(|record| match record.scenario.load {
            Load::Mixed(rate, period) => Some((record, rate, period)),
            _ => None,
        });
    let Some((mixed, rate, period)) = mixed else {
        return String::new();
    };
    let quiet = scenario(session, Load::Open(rate), mixed.scenario.bytes);
    let mut text = format!(
        "## Small requests beside large ones\n\n{} requests of {} a second, alone and with a \
         message of 4 MiB every {period} ms on the same connection. Latencies count from the time \
         at which each was to be sent. A large message waits while two are unanswered.\n\n",
        digits(rate),
        size(mixed.scenario.bytes)
    );
    let titles = [
        "",
        "p50 µs alone",
        "p99 alone",
        "p50 beside",
        "p99 beside",
        "p99 ratio",
        "large a second",
        "failed",
    ];
    text += &head(&titles.map(str::to_owned));
    for contender in &session.contenders {
        let Some(rounds) = mixed.of(&contender.key) else {
            continue;
        };
        let alone_of =
            |figure: fn(&Run) -> f64| quiet.and_then(|quiet| quiet.figure(&contender.key, figure));
        let beside_of = |figure: fn(&Run) -> f64| mixed.figure(&contender.key, figure);
        let p50 = |run: &Run| run.report.p50_micros;
        let p99 = |run: &Run| run.report.p99_micros;
        let ratio = beside_of(p99)
            .zip(alone_of(p99))
            .map(|(beside, alone)| beside.median / alone.median);
        let large = beside_of(|run| {
            let answered = run.report.large.as_ref().map_or(0, |large| large.answered);
            answered as f64 / run.report.seconds
        });
        let failed: u64 = rounds
            .runs
            .iter()
            .map(|run| {
                run.report.errors + run.report.large.as_ref().map_or(0, |large| large.errors)
            })
            .sum();
        text += &row([
            contender.name().to_owned(),
            alone(alone_of(p50)),
            alone(alone_of(p99)),
            alone(beside_of(p50)),
            alone(beside_of(p99)),
            ratio.map_or_else(|| "–".to_owned(), digits),
            alone(large),
            failed.to_string(),
        ]);
    }
    text
}
