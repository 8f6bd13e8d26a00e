//! Peers and clients of the Go library beside ours: one etcd, one namespace, processes of both
//! libraries. Each scenario uses its own names; all run concurrently, except for those that load
//! the whole machine.
//!
//! Times are real here: a Go peer looks for a missing leader every 31 s, and waits for an address
//! for twice its lease. `cargo test -p interop` with a word runs the scenarios whose names contain
//! it.

#![allow(clippy::unwrap_used)] // everything here is a test

mod addresses;
mod bursts;
mod errors_of_go;
mod errors_of_rust;
mod groups;
mod health;
mod leadership;
mod metadata;
mod registrations;
mod requests;
mod rings;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use interop::Bed;

type Scenario = fn(Arc<Bed>) -> BoxFuture<'static, ()>;

macro_rules! scenarios {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), |bed| {
            Box::pin(async move { $module::$name(&bed).await })
        })),*]
    };
}

const SCENARIOS: &[(&str, Scenario)] = scenarios![
    requests::go_asks_rust,
    requests::rust_asks_go,
    requests::both_start_actors_on_the_other,
    requests::names_with_the_vendor_prefix_are_taken_by_both,
    requests::long_calls_and_quiet_connections_last_both_ways,
    requests::a_go_client_repeats_what_failed_and_ours_does_not,
    registrations::rust_sees_go_come_and_go,
    registrations::go_sees_rust_come_and_go,
    leadership::passes_from_go_to_rust_to_go_by_stop_and_by_kill,
    addresses::rust_does_not_take_the_address_of_a_go_peer,
    addresses::go_does_not_take_the_address_of_a_rust_peer,
    errors_of_rust::a_go_client_reads_them,
    errors_of_go::our_client_reads_them,
    groups::a_mixed_group_answers_both,
    health::go_sees_the_health_of_rust,
    health::rust_sees_the_health_of_go,
    health::go_asks_rust_for_live_and_ready,
    metadata::trace_headers_travel_plain_both_ways,
    rings::go_and_rust_map_alike,
    rings::go_and_rust_pick_the_same_ring,
];

/// These load the whole machine, so they run one by one after all others.
const SEQUENTIAL: &[(&str, Scenario)] = scenarios![
    bursts::all_of_80_large_requests_are_answered,
    bursts::requests_that_nobody_takes_are_answered_busy,
];

#[tokio::main]
async fn main() -> ExitCode {
    let wanted: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    let bed = Arc::new(Bed::start(env!("CARGO_BIN_EXE_rust-peer")).await);
    println!("etcd {}, Go library v3.2.15", bed.etcd.version());

    let mut results = Vec::new();
    for group in std::iter::once(SCENARIOS).chain(SEQUENTIAL.chunks(1)) {
        let wanted = group.iter().filter(|(name, _)| is_wanted(name));
        results.extend(side_by_side(&bed, wanted).await);
    }
    let count = results.len();
    let failed = results.iter().filter(|ok| !**ok).count();
    if count == 0 || failed > 0 {
        println!(
            "{failed} of {count} scenarios failed; what the peers printed:\n{:?}",
            bed.transcript
        );
        return ExitCode::FAILURE;
    }
    println!("{count} scenarios passed");
    ExitCode::SUCCESS
}

/// Runs scenarios concurrently. Returns whether each one passed.
async fn side_by_side(
    bed: &Arc<Bed>,
    scenarios: impl Iterator<Item = &(&'static str, Scenario)>,
) -> Vec<bool> {
    let mut running = tokio::task::JoinSet::new();
    for &(name, scenario) in scenarios {
        let bed = Arc::clone(bed);
        running.spawn(async move {
            let begun = Instant::now();
            let ended = AssertUnwindSafe(scenario(bed)).catch_unwind().await;
            let word = if ended.is_ok() { "ok" } else { "FAILED" };
            println!("{word:6} {name} ({:.1} s)", begun.elapsed().as_secs_f64());
            ended.is_ok()
        });
    }
    running.join_all().await
}
