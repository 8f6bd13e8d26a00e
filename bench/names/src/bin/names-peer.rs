//! A peer with very many actors, each under its own name.
//!
//! Prints `READY` once all of them run. On SIGTERM it shuts down, and prints `STOPPED` if it has
//! left nothing behind.

use std::process::ExitCode;
use std::time::Instant;

use actorgrid::{ActorStart, ActorType, BoxError, Registry, Server};
use clap::Parser;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::signal::unix::{SignalKind, signal};

/// The number of starts under way: half of those that a peer admits.
const STARTS: usize = 128;

#[derive(Debug, Parser)]
struct Options {
    /// The URL of the registry.
    #[arg(long)]
    registry: String,
    /// The number of actors.
    #[arg(long)]
    names: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), BoxError> {
    let mut terminated = signal(SignalKind::terminate())?;
    let waits = ActorType::from_fn("waits", async |_start, ctx| {
        ctx.stopping().await;
        Ok(())
    });
    let registry = Registry::connect(&options.registry).await?;
    let server = Server::builder("names", registry).actor_type(waits);
    let server = server.bind("127.0.0.1:0").await?;
    let begun = Instant::now();
    stream::iter(0..options.names)
        .map(|number| {
            let start = ActorStart::new(format!("name-{number}"), "waits");
            server.client().start(server.peer(), start).send()
        })
        .buffer_unordered(STARTS)
        .try_for_each(async |_| Ok(()))
        .await?;
    println!("READY {} ms", begun.elapsed().as_millis());
    terminated.recv().await;
    let begun = Instant::now();
    server.shutdown().await?;
    println!("STOPPED {} ms", begun.elapsed().as_millis());
    Ok(())
}
