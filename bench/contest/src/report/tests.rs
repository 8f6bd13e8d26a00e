//! The document of a session that is made up, beside the one that is expected.

use std::path::Path;

use bench_kit::{About, BystanderReport, LargeReport, LoadReport, Losing, LossReport, Noise};

use super::{goal_lines, markdown, plots};
use crate::session::{
    ContenderProgram, ContenderRecord, Load, Machine, Rounds, Run, Scenario, ScenarioRecord,
    SessionRecord,
};

const GOLDEN: &str = "src/report/golden/RESULTS.md";

fn machine() -> Machine {
    Machine {
        date: "2026-01-02".to_owned(),
        commit: "abc1234".to_owned(),
        processor: "A CPU".to_owned(),
        processors: 2,
        kernel: "6.1".to_owned(),
        rust: "rustc 1.95.0".to_owned(),
        go: "not installed".to_owned(),
        etcd: "3.6.0".to_owned(),
    }
}

fn contender(key: &str, name: &str) -> ContenderRecord {
    let word = |word: &str| word.to_owned();
    ContenderRecord {
        key: word(key),
        about: Ok(About {
            name: word(name),
            version: word("1.0"),
            messages: word("bytes"),
            names: word("none"),
            deadline: word("none"),
            encryption: word("none"),
            settings: word("defaults | all"),
        }),
        was_given_up: false,
    }
}

fn run(cycle: usize, requests: u64, p99_micros: f64) -> Run {
    Run {
        cycle,
        load_cpu_micros: 1e6,
        echo_cpu_micros: 5e5,
        noise: Noise::default(),
        report: LoadReport {
            requests,
            seconds: 1.0,
            p50_micros: p99_micros / 4.0,
            p90_micros: p99_micros / 2.0,
            p99_micros,
            p999_micros: p99_micros * 2.0,
            max_micros: p99_micros * 3.0,
            ..LoadReport::default()
        },
    }
}

fn rounds(runs: Vec<Run>) -> Rounds {
    Rounds {
        runs,
        ..Rounds::default()
    }
}

/// Raw TCP does `raw` requests in each of two turns, ours 60 and 70 % of them.
fn scenario(scenario: Scenario, raw: u64) -> ScenarioRecord {
    let of = |share: u64, cycle| run(cycle, raw * share / 100, 400.0);
    ScenarioRecord {
        scenario,
        rounds: vec![
            (
                ContenderProgram::RAW.to_owned(),
                rounds(vec![of(100, 0), of(100, 1)]),
            ),
            (
                ContenderProgram::OURS.to_owned(),
                rounds(vec![of(60, 0), of(70, 1)]),
            ),
        ],
    }
}

fn lost(losing: Losing, millis: f64, unended: usize) -> ScenarioRecord {
    let mut record = scenario(Scenario::new(Load::Loss(losing), Scenario::SMALL, 2), 100);
    for run in record
        .rounds
        .iter_mut()
        .flat_map(|(_, rounds)| &mut rounds.runs)
    {
        run.report.loss = Some(LossReport {
            answered: 0,
            failed: 64 - unended,
            unended,
            last_millis: millis,
            first_error: Some("connection lost".to_owned()),
            bystander: Some(BystanderReport {
                answered: 1_000,
                failed: 0,
                max_millis: 1.5,
            }),
        });
    }
    record
}

fn session() -> SessionRecord {
    let small = |load| Scenario::new(load, Scenario::SMALL, 2);
    let mut mixed = scenario(small(Load::Mixed(1_000.0, 10)), 1_000);
    for run in mixed
        .rounds
        .iter_mut()
        .flat_map(|(_, rounds)| &mut rounds.runs)
    {
        run.report.p99_micros *= 4.0;
        run.report.max_micros *= 4.0;
        run.report.large = Some(LargeReport {
            answered: 90,
            held_back: 10,
            ..LargeReport::default()
        });
    }
    let mut noisy = scenario(small(Load::Closed(1024)), 2_000_000);
    noisy.rounds[1].1.dropped = 3;
    let died = "load: died at /home/a/b.rs:1";
    noisy.rounds[1].1.failures.push(died.to_owned());
    SessionRecord {
        machine: machine(),
        seconds: 1.0,
        warm_up: 0.3,
        contenders: vec![
            contender(ContenderProgram::RAW, "raw TCP"),
            contender(ContenderProgram::OURS, "actorgrid"),
            ContenderRecord {
                key: "absent".to_owned(),
                about: Err("was not built".to_owned()),
                was_given_up: false,
            },
        ],
        scenarios: vec![
            scenario(small(Load::Closed(1)), 13_000),
            scenario(small(Load::Closed(64)), 700_000),
            noisy,
            scenario(small(Load::Closed(64)).on_threads(1), 800_000),
            scenario(small(Load::Open(1_000.0)), 1_000),
            mixed,
            lost(Losing::Killed, 2.5, 0),
            lost(Losing::Frozen, 2_900.0, 2),
        ],
    }
}

#[test]
fn the_document_is_the_expected_one() {
    let written = markdown(&session());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, expected, "UPDATE_GOLDEN=1 writes {GOLDEN} anew");
}

#[test]
fn a_goal_is_judged_by_the_median() {
    let lines = goal_lines(&session());
    let verdicts: Vec<_> = lines
        .iter()
        .map(|line| (line.number, line.verdict()))
        .collect();
    let of = |number: usize| -> Vec<&str> {
        let of = verdicts.iter().filter(|(other, _)| *other == number);
        of.map(|(_, verdict)| verdict.as_str()).collect()
    };
    let absent = "not measured";
    assert_eq!(
        of(1),
        ["**met**", "not met", "**met**", absent, absent, absent]
    );
    assert_eq!(of(2), ["**met**", absent, "**met**"]);
    assert_eq!(of(4), [absent, absent, absent]);
    // Calls that never ended did not end in time, whenever the others did.
    assert_eq!(of(13), ["**met**", "not met", "**met**"]);
    assert_eq!(of(14), ["not met"]);
}

#[test]
fn a_session_is_read_back_as_it_was_written() {
    let json = serde_json::to_string(&session()).unwrap();
    let read: SessionRecord = serde_json::from_str(&json).unwrap();
    assert_eq!(read, session());
    let plots = plots(&read);
    assert!(plots.iter().all(|(_, svg)| svg.contains("<circle")));
}

#[test]
fn complaints_name_what_went_wrong() {
    let complaints = session().complaints();
    let has = |text: &str| complaints.iter().any(|complaint| complaint.contains(text));
    assert!(has("absent: was not built"));
    assert!(has("load: died"));
    assert!(has("2 calls never ended"));
}

#[test]
fn a_session_is_flawed_by_ours_alone() {
    let mut session = session();
    let flaws = session.flaws();
    assert!(flaws.iter().any(|flaw| flaw.contains("died")), "{flaws:?}");
    assert!(flaws.iter().all(|flaw| !flaw.starts_with("absent")));
    for (key, rounds) in session.scenarios.iter_mut().flat_map(|r| &mut r.rounds) {
        match key.as_str() {
            ContenderProgram::RAW => rounds.failures.push("died".to_owned()),
            _ => rounds.failures.clear(),
        }
        for loss in rounds
            .runs
            .iter_mut()
            .filter_map(|run| run.report.loss.as_mut())
        {
            loss.unended = 0;
        }
    }
    assert!(session.flaws().is_empty(), "{:?}", session.flaws());
    session.scenarios[0].rounds[0].1.runs.clear();
    assert_eq!(session.flaws(), ["70 B, 1 in flight: no round of raw TCP"]);
}
