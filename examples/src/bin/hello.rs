//! A leader that starts one worker on each peer, and workers that greet.

use std::process::ExitCode;
use std::time::Duration;

use actorgrid::{
    ActorContext, ActorResult, ActorStart, ActorType, BoxError, EchoMsg, Kind, Name, Request,
    RequestError, RequestErrorKind, WatchEvent,
};
use clap::Parser;
use examples::{GridOptions, interrupted, line, log_to_stderr, shut_down};

/// The number of requests that may wait for one worker; more are rejected as busy, and repeated.
const WORKER_CAPACITY: usize = 100;
/// How long to wait before asking again a peer that could not start its worker.
const PAUSE: Duration = Duration::from_secs(1);

/// The leader starts one worker on each peer that appears; a worker answers with a greeting.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    grid: GridOptions,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    log_to_stderr();
    match run(&options.grid).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(grid: &GridOptions) -> Result<(), BoxError> {
    let interrupted = interrupted()?;
    let registry = grid.connect().await?;
    let servers = grid
        .serve(&registry, "hello", |server| {
            server
                .actor_fn("leader", |_start, ctx| lead(ctx))
                .actor_type(worker_type())
        })
        .await?;
    interrupted.await;
    shut_down(servers).await
}

/// Declares the mailbox with the type, so a started worker already receives requests.
fn worker_type() -> ActorType {
    ActorType::from_fn("worker", |_start, ctx| work(ctx))
        .mailbox::<Request<EchoMsg>>(WORKER_CAPACITY)
}

async fn work(ctx: ActorContext) -> ActorResult {
    let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(WORKER_CAPACITY).await?;
    let token = ctx.token()?.revision();
    let (name, peer) = (ctx.name(), ctx.peer());
    line(format_args!(
        "WORKER start name={name} peer={peer} token={token}"
    ));
    let _stopped = LineAtEnd(format!("WORKER stop name={name}"));
    while let Some(request) = mailbox.recv().await {
        let greeting = format!("{}, this is {name}", request.message().msg);
        // The worker must not end because nobody waits for the answer any more.
        let _ = request.respond(EchoMsg::new(greeting));
    }
    Ok(())
}

async fn lead(ctx: ActorContext) -> ActorResult {
    let token = ctx.token()?.revision();
    line(format_args!(
        "LEADER start peer={} token={token}",
        ctx.peer()
    ));
    let _stopped = LineAtEnd(format!("LEADER stop peer={}", ctx.peer()));
    let (peers, mut watch) = ctx.client().watch(Kind::Peer).await?;
    for peer in peers {
        welcome_in_background(&ctx, peer.name);
    }
    loop {
        tokio::select! {
            biased;
            _ = ctx.stopping() => return Ok(()),
            event = watch.next() => {
                if let WatchEvent::Appeared(peer) = event {
                    welcome_in_background(&ctx, peer.name);
                }
            }
        }
    }
}

/// A peer that hangs must not delay the others. The task ends with the leader.
fn welcome_in_background(ctx: &ActorContext, peer: Name) {
    let leader = ctx.clone();
    ctx.spawn(async move {
        while let Err(error) = welcome(&leader, &peer).await {
            if !error.is_retryable() || error.kind() == RequestErrorKind::UnknownName {
                tracing::info!(%peer, %error, "no worker");
                return;
            }
            tracing::warn!(%peer, %error, "no worker yet");
            tokio::time::sleep(PAUSE).await;
        }
    });
}

/// Starts the worker of a peer, unless it runs already, and greets it.
async fn welcome(ctx: &ActorContext, peer: &Name) -> Result<(), RequestError> {
    let worker = format!("worker-{peer}");
    let start = ActorStart::new(&worker, "worker");
    match ctx.client().start(peer, start).await {
        Ok(_) => {}
        // A previous leader has started it.
        Err(error) if error.kind() == RequestErrorKind::AlreadyRunning => return Ok(()),
        Err(error) => return Err(error),
    }
    let greeting = ctx.client().request(worker, EchoMsg::new("hello")).await?;
    line(format_args!("HELLO {}", greeting.msg));
    Ok(())
}

/// Prints a line when it is dropped, as an aborted actor does not reach its last statement.
struct LineAtEnd(String);

impl Drop for LineAtEnd {
    fn drop(&mut self) {
        line(&self.0);
    }
}
