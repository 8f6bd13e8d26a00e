//! How calls end when the other process is lost.

use bench_kit::{Losing, LossReport};

use super::figures::{digits, head, row, scenario, without_folders};
use crate::session::{Load, Scenario, SessionRecord};

/// So much of an error is shown, in characters.
const LONGEST_ERROR: usize = 100;

/// The time until the last of 64 calls has ended.
pub(super) fn loss_table(session: &SessionRecord) -> String {
    let mut text =
        "## The other process is lost\n\n64 calls in flight when it is killed (SIGKILL) \
                    or frozen (SIGSTOP): milliseconds until all of them have ended, in each round. \
                    One that is killed is stopped for 50 ms before, so that all 64 wait for it. \
                    Nothing is waited for longer than 15 s.\n\n"
            .to_owned();
    text += &head(&["", "killed", "frozen", "another peer meanwhile", "error"].map(str::to_owned));
    for contender in &session.contenders {
        let losses = |losing| losses(session, &contender.key, losing);
        let (killed, frozen) = (losses(Losing::Killed), losses(Losing::Frozen));
        if killed.is_empty() && frozen.is_empty() {
            continue;
        }
        let mut errors = frozen
            .iter()
            .chain(&killed)
            .filter_map(|loss| loss.first_error.as_deref());
        text += &row([
            contender.name().to_owned(),
            ends(&killed),
            ends(&frozen),
            bystander(&frozen, &killed),
            errors
                .next()
                .map_or_else(|| "–".to_owned(), without_folders)
                .chars()
                .take(LONGEST_ERROR)
                .collect(),
        ]);
    }
    text
}

fn losses<'a>(session: &'a SessionRecord, key: &str, losing: Losing) -> Vec<&'a LossReport> {
    let record = scenario(session, Load::Loss(losing), Scenario::SMALL);
    let rounds = record.and_then(|record| record.of(key));
    let runs = rounds.map_or(&[][..], |rounds| &rounds.runs);
    runs.iter()
        .filter_map(|run| run.report.loss.as_ref())
        .collect()
}

/// How calls to another process went, with the same client.
fn bystander(frozen: &[&LossReport], killed: &[&LossReport]) -> String {
    let reports = frozen
        .iter()
        .chain(killed)
        .filter_map(|loss| loss.bystander.as_ref());
    let (mut answered, mut failed, mut max_millis) = (0, 0, 0.0_f64);
    for report in reports {
        answered += report.answered;
        failed += report.failed;
        max_millis = max_millis.max(report.max_millis);
    }
    match answered + failed {
        0 => "not measured".to_owned(),
        _ => format!(
            "{answered} answered, {failed} failed, the slowest took {} ms",
            digits(max_millis)
        ),
    }
}

fn ends(losses: &[&LossReport]) -> String {
    let ends = losses.iter().map(|loss| match loss.unended {
        0 => digits(loss.last_millis),
        unended => format!("{unended} never"),
    });
    match losses {
        [] => "–".to_owned(),
        _ => ends.collect::<Vec<_>>().join(", "),
    }
}
