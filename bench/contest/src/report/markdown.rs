//! The report as a document.

use std::collections::BTreeSet;

use super::figures::{digits, head, row, with_ends, without_folders};
use super::goals::goal_lines;
use super::loss_table::loss_table;
use super::speed_tables::{closed_loops, cpu, latencies, mixed, rates};
use crate::session::{ContenderProgram, Load, Rounds, Run, SessionRecord};

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
    let scenarios = || session.scenarios.iter().map(|record| &record.scenario);
    let most = scenarios().map(|scenario| scenario.rounds).max();
    let most = most.unwrap_or_default();
    let few: BTreeSet<_> = scenarios()
        .map(|scenario| scenario.rounds_of_others)
        .filter(|rounds| *rounds < most)
        .collect();
    let fewer = match few.iter().map(usize::to_string).collect::<Vec<_>>() {
        few if few.is_empty() => String::new(),
        few => format!(
            " ({} of the others where a run takes long)",
            few.join(" or ")
        ),
    };
    format!(
        "# How fast it is\n\n\
         Written by `make bench`; not to be edited. Two processes on the loopback of one machine, \
         each contender in turn with the others, {most} rounds{fewer}, {} s each after {} s of \
         warm-up. A run beside which other processes used more than 8 % of the machine, or the \
         hypervisor more than 4 %, is dropped and repeated, while there is time. Figures are \
         medians, with the least and the greatest round in parentheses. Absolute ones are this \
         machine's: ratios decide.\n\n\
         | | |\n| --- | --- |\n\
         | commit | {} |\n| date | {} |\n| machine | {} × {}, Linux {} |\n| compilers | {}; {} |\n\
         | build | `cargo build --release` and `go build`, no other flags |\n\
         | runtimes | their defaults, so as many threads as processors, unless a table says \
         otherwise |\n\
         | etcd | {}, one member, without fsync, for contenders that look names up in it |\n\
         | messages | answered with a message of the same length: 70 B, 5,000 B, 64 KiB |\n",
        session.seconds,
        session.warm_up,
        machine.commit,
        machine.date,
        machine.processors,
        machine.processor,
        machine.kernel,
        machine.rust,
        machine.go,
        machine.etcd,
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
    let mut lines = Vec::new();
    for contender in &session.contenders {
        match &contender.about {
            Err(why) => lines.push(format!(
                "- {} took no part: {}",
                contender.key,
                without_folders(why)
            )),
            Ok(about) if contender.was_given_up => lines.push(format!(
                "- {} was not run any more once it had failed in two scenarios",
                about.name
            )),
            Ok(_) => {}
        }
    }
    let mut dropped = 0;
    for record in &session.scenarios {
        let mut missing = Vec::new();
        for contender in &session.contenders {
            let Some(rounds) = record.of(&contender.key) else {
                continue;
            };
            dropped += rounds.dropped;
            let (name, scenario) = (contender.name(), &record.scenario);
            let incidents = incidents_of(rounds);
            lines.extend(incidents.map(|what| format!("- {scenario}: {name}: {what}")));
            // A contender that fails fails alike.
            lines.dedup();
            let wanted = scenario.rounds_of(&contender.key);
            if rounds.runs.len() < wanted {
                missing.push(format!("{name} ({} of {wanted})", rounds.runs.len()));
            }
        }
        if !missing.is_empty() {
            let (scenario, missing) = (&record.scenario, missing.join(", "));
            lines.push(format!("- {scenario}: fewer quiet rounds: {missing}"));
        }
    }
    if lines.is_empty() {
        lines.push("- Nothing.".to_owned());
    }
    text += &format!(
        "{dropped} noisy runs were dropped.\n\n{}\n",
        lines.join("\n")
    );
    text
}

/// The failures in the rounds of one contender in one scenario.
fn incidents_of(rounds: &Rounds) -> impl Iterator<Item = String> {
    let failures = rounds.failures.iter().map(|why| without_folders(why));
    let small = |run: &Run| run.report.first_error.clone();
    let large = |run: &Run| run.report.large.as_ref()?.first_error.clone();
    let small = rounds.runs.iter().find_map(small);
    let large = rounds.runs.iter().find_map(large);
    let small = small.map(|error| format!("requests failed: {}", without_folders(&error)));
    let large = large.map(|error| format!("large messages failed: {}", without_folders(&error)));
    failures.chain(small).chain(large)
}
