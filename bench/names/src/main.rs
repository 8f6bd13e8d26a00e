//! Measures what a peer with very many names costs the other clients of its etcd.
//!
//! A peer starts an actor for each name, holds them, and stops; another one is killed, so that its
//! leases expire. Meanwhile another client makes one get and one put every 5 ms, an open loop on a
//! connection of its own. Prints the latencies of both in each phase, and fails if a 99th
//! percentile is 50 ms or more.

mod etcd_client;
mod probe;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use bench_kit::{BoxError, LatencyHistogram};
use clap::Parser;
use testbed::{Etcd, Process};

use crate::etcd_client::EtcdClient;
use crate::probe::{PhaseLatencies, Probe};

/// The latency that 99 of 100 calls of another client stay below.
const BOUND: Duration = Duration::from_millis(50);
/// How long the peer has for its starts, and for its end.
const PEER_BOUND: Duration = Duration::from_secs(300);
/// How long the phases last in which nothing happens, and what follows the end of a peer: etcd
/// writes some of it later.
const QUIET: Duration = Duration::from_secs(5);
/// Long enough for six renewals of each lease.
const HELD: Duration = Duration::from_secs(20);
/// Longer than the leases live, with a change of etcd's leader.
const EXPIRY_BOUND: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
struct Options {
    /// The number of names.
    #[arg(long, default_value_t = 50_000)]
    names: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(phases) if phases.iter().all(is_within) => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("names: a 99th percentile is {BOUND:?} or more, or a call failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("names: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_within(phase: &PhaseLatencies) -> bool {
    let within = |latencies: &LatencyHistogram| latencies.quantile(0.99) < BOUND;
    phase.errors == 0 && within(&phase.gets) && within(&phase.puts)
}

async fn run(options: &Options) -> Result<Vec<PhaseLatencies>, BoxError> {
    let etcd = tokio::task::spawn_blocking(Etcd::start).await?;
    println!(
        "etcd {}, a peer with {} names",
        etcd.version(),
        options.names
    );
    let client = EtcdClient::connect(&etcd.address().to_string()).await?;
    let probe = Probe::start(client.clone(), "nothing else");
    tokio::time::sleep(QUIET).await;

    let mut peer = start_peer(&etcd, options, &probe, "starts").await?;
    report_keys(&client).await?;
    probe.begin("held");
    tokio::time::sleep(HELD).await;
    probe.begin("stop");
    peer.terminate();
    let (peer, ended) = tokio::task::spawn_blocking(move || {
        let status = peer.wait(PEER_BOUND);
        (peer, status)
    })
    .await?;
    let last = peer.lines().pop().map(|line| line.text);
    println!("the peer ended ({ended}): {}", last.unwrap_or_default());
    wait_until_gone(&client, "the shutdown").await?;
    tokio::time::sleep(QUIET).await;

    let mut peer = start_peer(&etcd, options, &probe, "starts again").await?;
    report_keys(&client).await?;
    probe.begin("killed");
    peer.kill();
    wait_until_gone(&client, "the kill").await?;
    tokio::time::sleep(QUIET).await;

    let phases = probe.stop().await?;
    phases.iter().for_each(print_phase);
    Ok(phases)
}

/// Starts a peer, and returns once all its actors run.
async fn start_peer(
    etcd: &Etcd,
    options: &Options,
    probe: &Probe,
    phase: &'static str,
) -> Result<Process, BoxError> {
    let mut command = Command::new(peer_program()?);
    command.args(["--registry", &etcd.url()]);
    command.args(["--names", &options.names.to_string()]);
    probe.begin(phase);
    let started = tokio::task::spawn_blocking(move || {
        let peer = Process::start(&mut command);
        let reported = |text: &str| text.starts_with("READY") || text.starts_with("FAILED");
        let line = peer.wait_for_line(|line| reported(&line.text), PEER_BOUND);
        (peer, line.text)
    });
    let (peer, line) = started.await?;
    println!("{phase}: {line}");
    match line.starts_with("READY") {
        true => Ok(peer),
        false => Err(line.into()),
    }
}

fn peer_program() -> Result<PathBuf, BoxError> {
    Ok(std::env::current_exe()?.with_file_name("names-peer"))
}

async fn report_keys(client: &EtcdClient) -> Result<(), BoxError> {
    let names = client.count("names.actor.").await?;
    let leases = client.count("names.epoch.").await?;
    println!("{names} names under {leases} leases");
    Ok(())
}

/// Waits until etcd has deleted all keys of the peer.
async fn wait_until_gone(client: &EtcdClient, since: &str) -> Result<(), BoxError> {
    let begun = Instant::now();
    loop {
        let left = client.count("names.").await?;
        let waited = begun.elapsed();
        if left == 0 {
            println!(
                "no name is left {:.1} s after {since}",
                waited.as_secs_f64()
            );
            return Ok(());
        }
        if waited > EXPIRY_BOUND {
            return Err(format!("{left} keys are left {waited:?} after {since}").into());
        }
        tokio::time::sleep(POLL).await;
    }
}

fn print_phase(phase: &PhaseLatencies) {
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    for (call, latencies) in [("get", &phase.gets), ("put", &phase.puts)] {
        println!(
            "{:<13} {call}: p50 {:>6.2} ms, p99 {:>7.2} ms, max {:>8.2} ms, {} calls, {} errors",
            phase.name,
            millis(latencies.quantile(0.5)),
            millis(latencies.quantile(0.99)),
            millis(latencies.greatest()),
            latencies.total(),
            phase.errors,
        );
    }
}
