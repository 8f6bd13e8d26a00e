//! Answers HTTP requests with the help of workers on a grid.
//!
//! The leader ([`leader`]) keeps one worker ([`worker`]) running on each peer. The front
//! ([`front`]) chooses a worker for each caller ([`choice`]) and asks it ([`dispatch`]): the same
//! user gets the same worker as long as the same workers run.

mod answer;
mod choice;
mod dispatch;
mod front;
mod leader;
mod messages;
#[cfg(test)]
mod restarts;
mod worker;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use actorgrid::{BoxError, Server, ServerBuilder};
use clap::Parser;
use examples::{GridOptions, interrupted, line, log_to_stderr, shut_down};
use tokio::net::TcpListener;

/// Answers `GET /work?user=x` with the help of that user's worker, and `GET /work` with any worker.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    grid: GridOptions,
    /// Where to listen for HTTP. Without it, the peers of this process only work for the fronts of
    /// other processes.
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// How long the workers of this process take for each request, one after the other.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    work_time: humantime::Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    log_to_stderr();
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("requestreply: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), BoxError> {
    let interrupted = interrupted()?;
    // Before there is anything to shut down: the port may be taken.
    let listener = match &options.http {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let registry = options.grid.connect().await?;
    let work_time = Duration::from(options.work_time);
    let servers = options
        .grid
        .serve(&registry, "requestreply", |server| {
            actors(server, work_time)
        })
        .await?;
    // Each worker ends after the requests that wait for it.
    let result = serve(listener, &servers, interrupted).await;
    shut_down(servers).await.and(result)
}

fn actors(server: ServerBuilder, work_time: Duration) -> ServerBuilder {
    server
        .actor_fn("leader", |_start, ctx| leader::lead(ctx))
        .actor_type(worker::worker_type(work_time))
}

async fn listen(address: &str) -> Result<TcpListener, BoxError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address:?}: {error}"))?;
    line(format_args!(
        "HTTP listening on http://{}",
        listener.local_addr()?
    ));
    Ok(listener)
}

async fn serve(
    listener: Option<TcpListener>,
    servers: &[Server],
    interrupted: impl Future<Output = ()>,
) -> Result<(), BoxError> {
    let Some(listener) = listener else {
        interrupted.await;
        return Ok(());
    };
    let server = servers.first().ok_or("no peer runs")?;
    let counts = front::serve(listener, server.client().clone(), interrupted).await?;
    eprintln!("requestreply: {counts}");
    Ok(())
}
