//! The plots that the document shows.

use super::chart::Chart;
use super::figures::scenario;
use super::speed_tables::{closed_loops, closed_title};
use crate::session::{
    ContenderProgram, ContenderRecord, Load, Run, Scenario, ScenarioRecord, SessionRecord,
};

/// The percentiles that are plotted.
const PERCENTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

/// The plots by the names of their files.
#[must_use]
pub fn plots(session: &SessionRecord) -> Vec<(&'static str, String)> {
    vec![
        ("throughput.svg", throughput(session).svg()),
        ("ratio.svg", ratio(session).svg()),
        ("latency.svg", latency(session).svg()),
    ]
}

fn throughput(session: &SessionRecord) -> Chart {
    let small = closed_loops(session).filter(|record| record.scenario.bytes == Scenario::SMALL);
    let records: Vec<_> = small.collect();
    let figure = |record: &ScenarioRecord, key: &str| {
        record
            .figure(key, |run| run.report.per_second() / 1e3)
            .map(|figure| figure.median)
    };
    Chart {
        title: "Small requests by requests in flight".to_owned(),
        unit: "thousands a second".to_owned(),
        categories: records.iter().map(|record| closed_title(record)).collect(),
        lines: lines(session, &records, figure),
    }
}

fn ratio(session: &SessionRecord) -> Chart {
    let records: Vec<_> = closed_loops(session).collect();
    let figure = |record: &ScenarioRecord, key: &str| {
        let ratio = record.ratio_to_raw(key, |run| run.report.per_second());
        ratio.map(|figure| figure.median)
    };
    let mut lines = lines(session, &records, figure);
    lines.retain(|(name, _)| {
        session
            .contenders
            .iter()
            .any(|c| c.name() == name && c.key != ContenderProgram::RAW)
    });
    Chart {
        title: "Rate by that of raw TCP".to_owned(),
        unit: "ratio".to_owned(),
        categories: records.iter().map(|record| closed_title(record)).collect(),
        lines,
    }
}

fn latency(session: &SessionRecord) -> Chart {
    let open = session
        .scenarios
        .iter()
        .find(|r| matches!(r.scenario.load, Load::Open(_)));
    let closed = scenario(session, Load::Closed(64), Scenario::SMALL);
    let record = open.or(closed);
    let figures = |contender: &ContenderRecord| {
        let runs = |of: fn(&Run) -> f64| {
            record?
                .figure(&contender.key, of)
                .map(|figure| figure.median)
        };
        vec![
            runs(|run| run.report.p50_micros),
            runs(|run| run.report.p90_micros),
            runs(|run| run.report.p99_micros),
            runs(|run| run.report.p999_micros),
            runs(|run| run.report.max_micros),
        ]
    };
    let of = record.map(|record| record.scenario.to_string());
    Chart {
        title: format!("Latency: {}", of.unwrap_or_default()),
        unit: "µs".to_owned(),
        categories: PERCENTILES.map(str::to_owned).to_vec(),
        lines: session
            .contenders
            .iter()
            .filter(|contender| contender.about.is_ok())
            .map(|contender| (contender.name().to_owned(), figures(contender)))
            .collect(),
    }
}

fn lines(
    session: &SessionRecord,
    records: &[&ScenarioRecord],
    figure: impl Fn(&ScenarioRecord, &str) -> Option<f64>,
) -> Vec<(String, Vec<Option<f64>>)> {
    let contenders = session
        .contenders
        .iter()
        .filter(|contender| contender.about.is_ok());
    let lines = contenders.map(|contender| {
        let figures = records.iter().map(|record| figure(record, &contender.key));
        (contender.name().to_owned(), figures.collect())
    });
    lines.collect()
}
