//! The report as a document.

use super::figures::{digits, head, row, with_ends};
use super::goals::goal_lines;
use super::loss_table::loss_table;
use super::speed_tables::{closed_loops, cpu, latencies, mixed, rates};
use crate::session::{ContenderProgram, Load, SessionRecord};

/// Figures of libraries that were not run here.
const ELSEWHERE: &str = "\
## Libraries that were not run in this session

Ergo, Hollywood and GoAkt are written in Go, and their modules could not be fetched here. These are
figures **of another run** on a machine of this kind, with small messages and 64 in flight, and not
to be compared closely with those above.

| | k req/s | CPU µs/request | killed, s | frozen, s |
| --- | --- | --- | --- | --- |
| Ergo 3.1 | 92 | 16 | 5 | 5 |
| Hollywood | 77 | 20 | – | – |
| GoAkt 4.4 | 60 | 36 | 0.07 | the caller's timeout |
";

/// The document.
#[must_use]
pub fn markdown(session: &SessionRecord) -> String {
    let mut parts = vec![opening(session), goals(session), rates(session)];
    parts.push(
        "![Requests per second by requests in flight](plots/throughput.svg)\n\n\
         ![Ratio to raw TCP](plots/ratio.svg)\n"
            .to_owned(),
    );
    parts.push(cpu(session));
    parts.push(all_latencies(session));
    parts.push(mixed(session));
    parts.push(loss_table(session));
    parts.push(differences(session));
    parts.push(incidents(session));
    parts.push(ELSEWHERE.to_owned());
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

fn opening(session: &SessionRecord) -> String {
    let machine = &session.machine;
    let rounds = session
        .scenarios
        .iter()
        .map(|record| record.scenario.rounds)
        .max();
    format!(
        "# How fast it is\n\n\
         Written by `make bench`; not to be edited. Two processes on the loopback of one machine, \
         each contender in turn with the others, {} rounds ({} where a run takes long), {} s each \
         after {} s of warm-up. A run beside which other processes used more than 8 % of the \
         machine, or the hypervisor more than 4 %, is dropped and repeated. Absolute figures are \
         this machine's: ratios decide.\n\n\
         | | |\n| --- | --- |\n\
         | commit | {} |\n| date | {} |\n| machine | {} × {}, Linux {} |\n| compilers | {}; {} |\n\
         | build | `--release`, no other flags |\n\
         | messages | answered with a message of the same length: 70 B, 5,000 B, 64 KiB |\n",
        rounds.unwrap_or_default(),
        "1 or 3",
        session.seconds,
        session.warm_up,
        machine.commit,
        machine.date,
        machine.processors,
        machine.processor,
        machine.kernel,
        machine.rust,
        machine.go,
    )
}

fn goals(session: &SessionRecord) -> String {
    let others = || {
        session
            .contenders
            .iter()
            .filter(|c| c.key != ContenderProgram::OURS)
    };
    let mut titles = ["", "goal", "limit", "actorgrid", "of the limit", "verdict"]
        .map(str::to_owned)
        .to_vec();
    titles.extend(others().map(|contender| contender.name().to_owned()));
    let mut text = "## Goals\n\n".to_owned();
    text += &head(&titles);
    for line in goal_lines(session) {
        let mut cells = vec![
            line.number.to_string(),
            line.what.to_owned(),
            line.limit.to_string(),
            with_ends(line.of(ContenderProgram::OURS)),
            line.share(),
            line.verdict(),
        ];
        cells.extend(others().map(|contender| {
            let figure = line.of(&contender.key);
            figure.map_or_else(|| "–".to_owned(), |figure| digits(figure.median))
        }));
        text += &row(cells);
    }
    text
}

fn all_latencies(session: &SessionRecord) -> String {
    let mut text =
        "## Latency\n\nThe first table is an open loop: latencies count from the time at \
                    which each request was to be sent. In the closed loops that follow they count \
                    from the time at which it was.\n\n\
                    ![Latency percentiles](plots/latency.svg)\n"
            .to_owned();
    let open = session
        .scenarios
        .iter()
        .filter(|r| matches!(r.scenario.load, Load::Open(_)));
    let special = session.scenarios.iter().filter(|record| {
        let scenario = &record.scenario;
        scenario.worker_threads.is_some() || scenario.is_pinned
    });
    for record in open.chain(closed_loops(session)).chain(special) {
        text += &format!(
            "\n### {}\n\n{}",
            record.scenario,
            latencies(record, session)
        );
    }
    text
}

fn differences(session: &SessionRecord) -> String {
    let mut text = "## What differs between them\n\n".to_owned();
    let titles = [
        "",
        "version",
        "messages",
        "names",
        "deadline",
        "encryption",
        "settings",
    ];
    text += &head(&titles.map(str::to_owned));
    for contender in &session.contenders {
        if let Ok(about) = &contender.about {
            text += &row([
                about.name.clone(),
                about.version.clone(),
                about.messages.clone(),
                about.names.clone(),
                about.deadline.clone(),
                about.encryption.clone(),
                about.settings.clone(),
            ]);
        }
    }
    text
}

/// All that did not go as planned.
fn incidents(session: &SessionRecord) -> String {
    let mut text = "## What could not be measured\n\n".to_owned();
    let mut dropped = 0;
    let mut lines = Vec::new();
    for contender in &session.contenders {
        if let Err(why) = &contender.about {
            lines.push(format!("- {} took no part: {why}", contender.key));
        }
    }
    for record in &session.scenarios {
        for contender in &session.contenders {
            let Some(rounds) = record.of(&contender.key) else {
                continue;
            };
            let (name, scenario) = (contender.name(), &record.scenario);
            dropped += rounds.dropped;
            for why in &rounds.failures {
                lines.push(format!("- {name}, {scenario}: {}", why.replace('\n', " ")));
            }
            let errors = rounds
                .runs
                .iter()
                .find_map(|run| run.report.first_error.as_deref());
            if let Some(error) = errors {
                lines.push(format!("- {name}, {scenario}: requests failed: {error}"));
            }
            let missing = scenario.rounds.saturating_sub(rounds.runs.len());
            if missing > 0 {
                lines.push(format!(
                    "- {name}, {scenario}: {missing} rounds are missing"
                ));
            }
        }
    }
    if lines.is_empty() {
        lines.push("- Nothing.".to_owned());
    }
    text += &format!(
        "{dropped} noisy runs were dropped and repeated.\n\n{}\n",
        lines.join("\n")
    );
    text
}
