//! One round: an attack, its effect on the peer and on honest callers, and the recovery.

use std::process::Command;
use std::time::{Duration, Instant};

use bench::{ProcessCpu, SystemCpu};
use testbed::Process;
use tokio::task::block_in_place;

use super::bed::Bed;
use super::figures::RoundFigures;
use super::plan::PlannedRound;
use super::verdict::is_back;
use crate::arena::Findings;
use crate::peer::PeerReport;

/// How long after the attack the peer must have recovered.
const RECOVERY_BOUND: Duration = Duration::from_secs(10);
/// How much longer than asked an attack may take: it may wait for answers that are owed to it.
const ATTACKER_BOUND: Duration = Duration::from_secs(40);
/// How long etcd is away from the peer: far less than the peer's lease lasts without a renewal.
const ETCD_AWAY: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(100);

/// Attacks the peer once. `share` is the share of a processor that the attacker may use.
pub async fn run_round(bed: &mut Bed, planned: &PlannedRound, share: Option<f64>) -> RoundFigures {
    bed.peer.reset_peak();
    let phase = bed.callers.begin();
    let before = SystemCpu::read().ok();
    let mut attacker = start_attacker(bed, planned, share);
    let findings = attack(bed, planned, &mut attacker).await;
    let over = Instant::now();
    let steal = before.map_or(0.0, steal_since);
    let _ = bed.callers.begin();
    let (last, recovery) = recover(bed, over).await;
    let honest = phase.figures().await;
    RoundFigures {
        honest,
        findings,
        last,
        recovery,
        steal,
    }
}

/// Returns the share of the machine's time that its hypervisor gave to others.
fn steal_since(before: SystemCpu) -> f64 {
    let own = ProcessCpu::default();
    SystemCpu::read().map_or(0.0, |now| now.noise_since(before, own).steal_share)
}

fn start_attacker(bed: &Bed, planned: &PlannedRound, share: Option<f64>) -> Process {
    let mut command = Command::new(bed.options.programs.join("hostile-attacker"));
    command
        .arg(planned.attack.name)
        .args(["--target", &bed.peer.address.to_string()])
        .args(["--peer", &bed.peer.name])
        .args(["--connections", &planned.connections.to_string()])
        .args(["--seconds", &planned.time.as_secs_f64().to_string()]);
    for known in &bed.tokens {
        let token = format!("{}={}", known.mailbox, known.token);
        command.args(["--token", &token]);
    }
    if let Some(share) = share {
        command.args(["--share", &share.to_string()]);
    }
    Process::start(&mut command)
}

/// Waits until the attack ends. Returns `None` if the attacker had to be killed, or the peer has
/// ended.
async fn attack(bed: &mut Bed, planned: &PlannedRound, attacker: &mut Process) -> Option<Findings> {
    let begun = Instant::now();
    let mut etcd_goes = planned.attack.etcd_away.then_some(planned.time / 2);
    loop {
        if block_in_place(|| attacker.ended()).is_some() {
            block_in_place(|| attacker.wait(POLL));
            let printed = attacker.lines();
            return serde_json::from_str(&printed.last()?.text).ok();
        }
        if !bed.peer.runs() || begun.elapsed() > planned.time + ATTACKER_BOUND {
            block_in_place(|| attacker.kill());
            return None;
        }
        if etcd_goes.is_some_and(|after| begun.elapsed() >= after) {
            etcd_goes = None;
            cut_off_etcd(bed).await;
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn cut_off_etcd(bed: &Bed) {
    bed.etcd_of_peer.refuse(true);
    tokio::time::sleep(ETCD_AWAY).await;
    bed.etcd_of_peer.refuse(false);
}

/// Waits until the peer has recovered, or its time is over. Returns its last report, and how long
/// it took.
async fn recover(bed: &mut Bed, over: Instant) -> (Option<PeerReport>, Option<Duration>) {
    loop {
        if !bed.peer.runs() {
            return (None, None);
        }
        let Some(report) = block_in_place(|| bed.peer.report()) else {
            return (None, None);
        };
        if is_back(&bed.quiet, &report) {
            return (Some(report), Some(over.elapsed()));
        }
        if over.elapsed() >= RECOVERY_BOUND {
            return (Some(report), None);
        }
        tokio::time::sleep(POLL).await;
    }
}
