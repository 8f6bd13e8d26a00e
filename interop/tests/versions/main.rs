//! Peers and clients of the previous version of our library beside those of this one: one etcd, one
//! namespace. Each scenario uses its own names; all run concurrently.
//!
//! The previous version has no links, so whatever involves it goes over gRPC.
//! `cargo test -p interop --test versions` with a word runs the scenarios whose names contain it.

#![allow(clippy::unwrap_used)] // everything here is a test

mod leadership;
mod registrations;
mod replacements;
mod requests;
mod starts;

use std::process::ExitCode;

use interop::{Scenario, VersionBed, run_scenarios, scenarios};

const SCENARIOS: &[Scenario<VersionBed>] = scenarios![
    requests::every_client_asks_every_peer,
    requests::errors_arrive_as_they_are,
    starts::leaders_start_actors_on_peers_of_the_other_version,
    starts::names_are_unique_among_both_versions,
    leadership::passes_between_the_versions_by_stop_and_by_kill,
    registrations::each_version_sees_the_other_come_and_go,
    replacements::a_peer_is_replaced_by_the_other_version_at_its_address,
];

#[tokio::main]
async fn main() -> ExitCode {
    let programs = (
        env!("CARGO_BIN_EXE_rust-peer"),
        env!("CARGO_BIN_EXE_rust-client"),
    );
    let bed = VersionBed::start(programs.0, programs.1).await;
    println!("etcd {}", bed.etcd.version());
    let transcript = bed.transcript.clone();
    run_scenarios(bed, &transcript, [SCENARIOS]).await
}
