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

use std::process::ExitCode;

use interop::{Bed, Scenario, run_scenarios, scenarios};

const SCENARIOS: &[Scenario<Bed>] = scenarios![
    requests::go_asks_rust,
    requests::rust_asks_go,
    requests::the_first_call_to_a_go_peer_takes_less_than_a_second,
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
const SEQUENTIAL: &[Scenario<Bed>] = scenarios![
    bursts::all_of_80_large_requests_are_answered,
    bursts::requests_that_nobody_takes_are_answered_busy,
];

#[tokio::main]
async fn main() -> ExitCode {
    let bed = Bed::start(env!("CARGO_BIN_EXE_rust-peer")).await;
    println!("etcd {}, Go library v3.2.15", bed.etcd.version());
    let transcript = bed.transcript.clone();
    let groups = std::iter::once(SCENARIOS).chain(SEQUENTIAL.chunks(1));
    run_scenarios(bed, &transcript, groups).await
}
