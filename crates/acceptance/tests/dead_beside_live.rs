//! Calls to one peer while another one is killed or frozen. Times are real here because the
//! promises are about real time.
//!
//! With ACCOUNTED_SECONDS set, nothing else is expected to run, and the bounds are the promised
//! ones.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod bed;
mod ledger;

use std::path::Path;
use std::time::{Duration, Instant};

use bed::{Bed, secs};
use futures_util::future::join_all;
use ledger::{Called, Calls, Folder, Known, LedgerOptions, LedgerPeer};

const MAILBOXES: usize = 16;
/// The requests in flight to each mailbox: 64 to each peer.
const IN_FLIGHT: usize = 4;
/// How long the peers that are killed and frozen take for each request. Without it, they may have
/// answered all of them a moment before.
const WORK_MS: u64 = 5;
const DEADLINE: Duration = Duration::from_secs(10);
/// How long calls are watched without a fault, and with each.
const WATCHED: Duration = Duration::from_secs(4);
/// The bounds for calls in flight to a peer that is killed, and frozen.
const KILLED: Duration = Duration::from_millis(50);
const FROZEN: Duration = Duration::from_secs(3);
/// The noise in the 99th percentile of the calls beside.
const NOISE: Duration = Duration::from_millis(5);

/// How many times the promised bounds things may take.
fn leeway() -> u32 {
    match std::env::var_os("ACCOUNTED_SECONDS") {
        Some(_) => 1,
        None => 10,
    }
}

fn start(bed: &Bed, name: &str, ledger: &Path, work_ms: u64) -> LedgerPeer {
    let options = LedgerOptions {
        name,
        ledger,
        mailboxes: MAILBOXES,
        address: "127.0.0.1:0",
        work_ms,
    };
    tokio::task::block_in_place(|| LedgerPeer::start(bed, &options))
}

/// Calls a peer until a time. Returns all calls.
async fn call(bed: &Bed, name: &str, until: Instant) -> Vec<Called> {
    let calls = (0..MAILBOXES).map(|number| {
        let calls = Calls {
            mailbox: format!("{name}{number}"),
            in_flight: IN_FLIGHT,
            deadline: DEADLINE,
            repeats: false,
        };
        tokio::spawn(calls.run(bed.client.clone(), until))
    });
    let called = join_all(calls).await.into_iter();
    called.flat_map(Result::unwrap).collect()
}

/// The number of failed calls that were made in this time, and the 99th percentile of all of them.
fn watched(called: &[Called], from: Instant) -> (usize, Duration) {
    let within = |called: &&Called| called.begun >= from && called.begun < from + WATCHED;
    let called: Vec<_> = called.iter().filter(within).collect();
    let failed = called
        .iter()
        .filter(|called| called.known != Known::Answered);
    let mut times: Vec<_> = called.iter().map(|called| called.took).collect();
    times.sort_unstable();
    let place = times.len() * 99 / 100;
    (failed.count(), times[place])
}

/// A fault, from when it began until it was there.
type Fault = (Instant, Instant);

/// The number of calls that were in flight to a peer and failed when it had a fault, and how long
/// after its beginning the last of them ended.
fn lost(called: &[Called], (from, until): Fault) -> (usize, Duration) {
    let lost = called.iter().filter(|called| {
        let ended = called.begun + called.took;
        called.known != Known::Answered && called.begun < until && ended > from
    });
    let ends = lost.map(|called| (called.begun + called.took).duration_since(from));
    let ends: Vec<_> = ends.collect();
    (ends.len(), ends.into_iter().max().unwrap_or_default())
}

/// Does something to a peer. Returns when it began and when it was done.
fn fault(act: impl FnOnce()) -> Fault {
    let from = Instant::now();
    tokio::task::block_in_place(act);
    (from, Instant::now())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_a_peer_go_on_while_others_are_killed_and_frozen() {
    let bed = Bed::start().await;
    let folder = Folder::new("beside");
    let mut dies = start(&bed, "dies", &folder.file("dies"), WORK_MS);
    let mut freezes = start(&bed, "freezes", &folder.file("freezes"), WORK_MS);
    let _lives = start(&bed, "lives", &folder.file("lives"), 0);
    // The links open, and code becomes warm.
    let quiet = Instant::now() + secs(1);
    let until = quiet + 3 * WATCHED + Duration::from_millis(500);
    let faults = async {
        tokio::time::sleep_until((quiet + WATCHED).into()).await;
        let killed = fault(|| dies.process.kill());
        tokio::time::sleep_until((killed.0 + WATCHED).into()).await;
        let frozen = fault(|| freezes.process.pause());
        tokio::time::sleep_until((frozen.0 + WATCHED).into()).await;
        tokio::task::block_in_place(|| freezes.process.resume());
        (killed, frozen)
    };
    let (to_dead, to_frozen, beside, (killed, frozen)) = tokio::join!(
        call(&bed, "dies", until),
        call(&bed, "freezes", until),
        call(&bed, "lives", until),
        faults
    );
    let (killed_calls, of_killed) = lost(&to_dead, killed);
    let (frozen_calls, of_frozen) = lost(&to_frozen, frozen);
    println!("{killed_calls} calls to a peer that is killed end within {of_killed:?}");
    println!("{frozen_calls} calls to a peer that is frozen end within {of_frozen:?}");
    let (failed, quiet_p99) = watched(&beside, quiet);
    println!("calls to another peer: {failed} failed, p99 {quiet_p99:?}");
    assert_eq!(failed, 0);
    for (what, from) in [("killed", killed.0), ("frozen", frozen.0)] {
        let (failed, p99) = watched(&beside, from);
        println!("the same while one is {what}: {failed} failed, p99 {p99:?}");
        assert_eq!(failed, 0);
        assert!(p99 <= leeway() * (3 * quiet_p99 + NOISE), "{p99:?}");
    }
    let expected = MAILBOXES * IN_FLIGHT;
    assert!(killed_calls > expected / 2, "{killed_calls}");
    assert!(frozen_calls > expected / 2, "{frozen_calls}");
    assert!(of_killed <= leeway() * KILLED, "{of_killed:?}");
    assert!(
        of_frozen <= FROZEN + (leeway() - 1) * KILLED,
        "{of_frozen:?}"
    );
}
