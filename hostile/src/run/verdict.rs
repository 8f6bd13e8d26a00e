//! The requirements on a peer while it is attacked.

use std::time::Duration;

use super::figures::RoundFigures;
use crate::attack::HonestStarts;
use crate::honest::HonestRoute;
use crate::peer::PeerReport;

/// A latency that honest callers may always see.
const P99_FLOOR: Duration = Duration::from_millis(50);
/// Or this many times the latency without an attack.
const P99_FACTOR: u32 = 5;
/// Twice the peer's two budgets of 256 MiB: for what they count, and for its overhead.
const MAX_EXTRA_RSS_BYTES: u64 = 1 << 30;
/// Allowed beyond the start: memory that honest callers use at any moment, and caches that were
/// filled.
const SPARE_LIVE_BYTES: u64 = 16 << 20;
const SPARE_DESCRIPTORS: u64 = 8;
const SPARE_TASKS: u64 = 24;

/// The figures without an attack.
#[derive(Debug, Clone, Default)]
pub struct Quiet {
    /// The latency that one in a hundred small requests exceeds, over each route.
    pub p99: [Duration; 2],
    /// The peer's report.
    pub report: PeerReport,
}

/// The requirements on the peer in a round.
#[derive(Debug, Clone, Copy)]
pub struct Demands {
    /// Whether the attackers leave enough of the machine that honest callers must be served.
    pub serves: bool,
    /// Whether the latency of honest calls is judged, too.
    pub judges_latency: bool,
    /// The outcomes that are allowed for honest starts.
    pub honest_starts: HonestStarts,
}

/// Whether the peer's memory, descriptors and tasks have recovered.
pub(super) fn is_back(quiet: &Quiet, now: &PeerReport) -> bool {
    let before = &quiet.report;
    now.live_bytes <= before.live_bytes + SPARE_LIVE_BYTES
        && now.descriptors <= before.descriptors + SPARE_DESCRIPTORS
        && now.tasks <= before.tasks + SPARE_TASKS
}

/// Returns the ways in which the peer failed; empty if it passed.
#[must_use]
pub fn failures(demands: Demands, quiet: &Quiet, round: &RoundFigures) -> Vec<String> {
    let mut failures = Vec::new();
    match &round.last {
        Some(last) => failures_of_peer(quiet, last, &mut failures),
        None => failures.push("the peer has ended, or was killed".to_owned()),
    }
    if let (Some(last), None) = (&round.last, round.recovery) {
        failures.push(not_back(&quiet.report, last));
    }
    let Some(findings) = &round.findings else {
        failures.push("the attacker did not finish".to_owned());
        return failures;
    };
    if demands.serves {
        failures.extend(
            findings
                .failures
                .iter()
                .map(|(what, count)| format!("{what} ({count} times)")),
        );
        failures_of_service(demands, quiet, round, &mut failures);
    }
    failures
}

fn failures_of_peer(quiet: &Quiet, last: &PeerReport, failures: &mut Vec<String>) {
    let before = &quiet.report;
    if last.fences > before.fences || last.leader != before.leader || last.state != "serving" {
        let reason = last.fence_reason.as_deref().unwrap_or("none");
        failures.push(format!(
            "the lease was lost: state {}, fences {}, reason {reason}",
            last.state, last.fences
        ));
    }
    if last.panics > before.panics {
        failures.push(format!("{} panics", last.panics - before.panics));
    }
    if last.forbidden > before.forbidden {
        let executed = last.forbidden - before.forbidden;
        failures.push(format!("{executed} forbidden messages were executed"));
    }
    if last.peak_rss_bytes > before.rss_bytes + MAX_EXTRA_RSS_BYTES {
        failures.push(format!(
            "the resident memory reached {} MiB, from {} MiB",
            last.peak_rss_bytes >> 20,
            before.rss_bytes >> 20
        ));
    }
}

fn not_back(before: &PeerReport, last: &PeerReport) -> String {
    format!(
        "not back in time: {} MiB live (from {}), {} descriptors (from {}), {} tasks (from {})",
        last.live_bytes >> 20,
        before.live_bytes >> 20,
        last.descriptors,
        before.descriptors,
        last.tasks,
        before.tasks
    )
}

fn failures_of_service(
    demands: Demands,
    quiet: &Quiet,
    round: &RoundFigures,
    failures: &mut Vec<String>,
) {
    let honest = &round.honest;
    failures.extend(
        honest
            .errors
            .iter()
            .map(|(what, count)| format!("{count} honest calls failed: {what}")),
    );
    if honest.busy_starts > 0 && demands.honest_starts == HonestStarts::Succeed {
        failures.push(format!("{} honest starts were busy", honest.busy_starts));
    }
    if !demands.judges_latency {
        return;
    }
    let latencies = honest.latencies(0.99).into_iter().zip(quiet.p99);
    for (route, (p99, quiet)) in HonestRoute::ALL.iter().zip(latencies) {
        let bound = P99_FLOOR.max(quiet * P99_FACTOR);
        if p99 > bound {
            let route = route.as_str();
            failures.push(format!(
                "the p99 over {route} is {p99:.0?}, above {bound:.0?}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Findings;

    const DEMANDS: Demands = Demands {
        serves: true,
        judges_latency: true,
        honest_starts: HonestStarts::Succeed,
    };

    fn quiet() -> Quiet {
        Quiet {
            p99: [Duration::from_millis(2); 2],
            report: report(),
        }
    }

    fn report() -> PeerReport {
        PeerReport {
            state: "serving".to_owned(),
            leader: Some("2a:1".to_owned()),
            live_bytes: 10 << 20,
            rss_bytes: 30 << 20,
            peak_rss_bytes: 40 << 20,
            descriptors: 20,
            tasks: 30,
            ..PeerReport::default()
        }
    }

    fn passing() -> RoundFigures {
        RoundFigures {
            findings: Some(Findings::default()),
            last: Some(report()),
            recovery: Some(Duration::ZERO),
            ..RoundFigures::default()
        }
    }

    fn failures_of(change: impl FnOnce(&mut PeerReport)) -> Vec<String> {
        let mut round = passing();
        change(round.last.as_mut().unwrap());
        failures(DEMANDS, &quiet(), &round)
    }

    #[test]
    fn a_peer_without_any_change_passes() {
        assert_eq!(failures_of(|_| {}), [""; 0]);
    }

    #[test]
    fn a_lost_lease_a_panic_an_execution_and_memory_each_fail() {
        assert_eq!(failures_of(|last| last.fences = 1).len(), 1);
        assert_eq!(
            failures_of(|last| last.leader = Some("2a:2".into())).len(),
            1
        );
        assert_eq!(failures_of(|last| last.state = "rejoining".into()).len(), 1);
        assert_eq!(failures_of(|last| last.panics = 1).len(), 1);
        assert_eq!(failures_of(|last| last.forbidden = 1).len(), 1);
        assert_eq!(
            failures_of(|last| last.peak_rss_bytes = 1_054 << 20).len(),
            0
        );
        assert_eq!(
            failures_of(|last| last.peak_rss_bytes = 1_055 << 20).len(),
            1
        );
    }

    #[test]
    fn a_peer_that_ended_or_did_not_recover_fails_and_so_does_a_lost_attacker() {
        let mut round = passing();
        round.recovery = None;
        assert_eq!(failures(DEMANDS, &quiet(), &round).len(), 1);
        round.last = None;
        assert_eq!(failures(DEMANDS, &quiet(), &round).len(), 1);
        round.findings = None;
        assert_eq!(failures(DEMANDS, &quiet(), &round).len(), 2);
    }

    #[test]
    fn only_an_attacker_that_leaves_room_makes_service_a_demand() {
        let mut round = passing();
        let findings = round.findings.as_mut().unwrap();
        findings.failures.insert("not closed".to_owned(), 3);
        round.honest.errors.insert("small: busy".to_owned(), 2);
        round.honest.busy_starts = 1;
        assert_eq!(failures(DEMANDS, &quiet(), &round).len(), 3);
        let may_be_busy = Demands {
            honest_starts: HonestStarts::MayBeBusy,
            ..DEMANDS
        };
        assert_eq!(failures(may_be_busy, &quiet(), &round).len(), 2);
        let full_speed = Demands {
            serves: false,
            ..DEMANDS
        };
        assert_eq!(failures(full_speed, &quiet(), &round).len(), 0);
    }

    #[test]
    fn a_peer_is_back_when_all_of_its_figures_are() {
        let mut now = report();
        assert!(is_back(&quiet(), &now));
        now.live_bytes += SPARE_LIVE_BYTES;
        now.descriptors += SPARE_DESCRIPTORS;
        now.tasks += SPARE_TASKS;
        assert!(is_back(&quiet(), &now));
        let change = |change: fn(&mut PeerReport)| {
            let mut changed = now.clone();
            change(&mut changed);
            is_back(&quiet(), &changed)
        };
        assert!(!change(|now| now.live_bytes += 1));
        assert!(!change(|now| now.descriptors += 1));
        assert!(!change(|now| now.tasks += 1));
    }
}
