//! The peer that is attacked. Prints `READY peer=<peer> address=<address>` once it serves, and then
//! `REPORT <json>` several times per second.

use std::alloc::System;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actorgrid::{BoxError, Registry};
use cap::Cap;
use clap::Parser;
use hostile::peer::{Figures, Ledger, print_reports, serve, start_actors};

/// The process ends rather than exhaust the machine's memory: an attack that gets this far has won.
const MAX_HEAP_BYTES: usize = 6 << 30;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, MAX_HEAP_BYTES);
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Runs the peer until it is killed.
#[derive(Parser)]
struct Options {
    /// The URL of the registry.
    #[arg(long)]
    registry: String,
    /// The time to live of the lease, in seconds.
    #[arg(long)]
    lease_ttl: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        default(panic);
    }));
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hostile-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), BoxError> {
    let registry = Registry::connect(&options.registry).await?;
    let ledger = Arc::<Ledger>::default();
    let ttl = Duration::from_secs(options.lease_ttl);
    let server = serve(registry, ttl, &ledger).await?;
    start_actors(&server).await?;
    let (peer, address) = (server.peer(), server.address());
    println!("READY peer={peer} address={address}");
    let _reporter = print_reports(Figures {
        server: server.handle(),
        runtime: tokio::runtime::Handle::current().metrics(),
        ledger,
        live_bytes: || HEAP.allocated(),
        panics: &PANICS,
    });
    std::future::pending().await
}
