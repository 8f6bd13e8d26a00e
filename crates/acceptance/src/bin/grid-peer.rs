//! One peer of a grid under test.
//!
//! Its actors of type `holder` hold their names at an outside resource that checks tokens, and
//! answer requests; its leader only prints that it leads. A request `block <milliseconds>` to a
//! holder blocks all threads of the runtime for that long, `block-one <milliseconds>` only the
//! thread that it runs on. Each step prints a line to stdout:
//!
//! - `READY peer=<peer>`, `STATE state=<state>`, with `reason=<reason>` when fenced
//! - `LEADER start peer=<peer> token=<revision>`, `LEADER stop peer=<peer>`
//! - `HOLDER start name=<name> token=<cluster:revision>`, `HOLDER stop name=<name>`,
//!   `HOLDER stale name=<name>`
//! - `BLOCK start workers=<number>`, `BLOCK stop`
//! - `REQUEST name=<name> text=<text>`, `ANSWER name=<name> text=<text> result=<result>`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use actorgrid::{
    ActorContext, ActorResult, ActorType, BoxError, EchoMsg, Request, RespondErrorKind,
    ServerEvent, ServerEvents, ServerHandle,
};
use clap::Parser;
use examples::{GridOptions, interrupted, line, log_to_stderr};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// How often a holder shows its token to the resource.
const PACE: Duration = Duration::from_millis(20);

#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    grid: GridOptions,
    /// The address of the resource that checks tokens.
    #[arg(long)]
    resource: Option<SocketAddr>,
    /// How long a holder works on a request, in milliseconds.
    #[arg(long, default_value_t = 0)]
    work_ms: u64,
    /// How long the runtime may stall before the peer is fenced, in milliseconds.
    #[arg(long)]
    max_stall_ms: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    log_to_stderr();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(format_args!("FAILED error={error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), BoxError> {
    let stop = interrupted()?;
    let registry = options.grid.connect().await?;
    let (resource, work) = (options.resource, Duration::from_millis(options.work_ms));
    let servers = options
        .grid
        .serve(&registry, "acceptance", |server| {
            let server = match options.max_stall_ms {
                Some(millis) => server.max_stall(Duration::from_millis(millis)),
                None => server,
            };
            server
                .actor_fn("leader", async |_start, ctx| lead(ctx).await)
                .actor_type(holder_type(resource, work))
        })
        .await?;
    for server in &servers {
        line(format_args!("READY peer={}", server.peer()));
    }
    let states = servers
        .iter()
        .map(|server| tokio::spawn(report_states(server.handle(), server.events())));
    let states: Vec<_> = states.collect();
    stop.await;
    for server in &servers {
        server.shutdown().await?;
    }
    for state in states {
        state.await?;
    }
    Ok(())
}

async fn report_states(server: ServerHandle, mut events: ServerEvents) {
    line(format_args!("STATE state={:?}", server.state()));
    while let Some(event) = events.next().await {
        match event {
            ServerEvent::StateChanged {
                state,
                reason: Some(reason),
            } => line(format_args!("STATE state={state:?} reason={reason}")),
            ServerEvent::StateChanged { state, .. } => line(format_args!("STATE state={state:?}")),
            _ => {}
        }
    }
}

/// Prints its line when it is dropped, so that the end of an actor is reported however it ended.
struct LineOnDrop(String);

impl Drop for LineOnDrop {
    fn drop(&mut self) {
        line(&self.0);
    }
}

async fn lead(ctx: ActorContext) -> ActorResult {
    let token = ctx.token()?.revision();
    line(format_args!(
        "LEADER start peer={} token={token}",
        ctx.peer()
    ));
    let _stop_line = LineOnDrop(format!("LEADER stop peer={}", ctx.peer()));
    ctx.stopping().await;
    Ok(())
}

fn holder_type(resource: Option<SocketAddr>, work: Duration) -> ActorType {
    ActorType::from_fn("holder", move |_start, ctx| hold(ctx, resource, work))
        .mailbox::<Request<EchoMsg>>(100)
}

async fn hold(ctx: ActorContext, resource: Option<SocketAddr>, work: Duration) -> ActorResult {
    let name = ctx.name().clone();
    line(format_args!(
        "HOLDER start name={name} token={}",
        ctx.token()?
    ));
    let _stop_line = LineOnDrop(format!("HOLDER stop name={name}"));
    let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(100).await?;
    if let Some(address) = resource {
        let ctx = ctx.clone();
        ctx.clone().spawn(async move {
            // Ends when the peer is fenced, or the resource is gone.
            let _ = show_token(&ctx, address).await;
        });
    }
    while let Some(request) = mailbox.recv().await {
        let text = request.message().msg.clone();
        line(format_args!("REQUEST name={name} text={text}"));
        if let Some(millis) = text.strip_prefix("block ") {
            block_runtime(Duration::from_millis(millis.parse()?));
        }
        if let Some(millis) = text.strip_prefix("block-one ") {
            block_worker(Duration::from_millis(millis.parse()?)).await;
        }
        tokio::time::sleep(work).await;
        let result = match request.respond(EchoMsg::new(format!("{text} from {name}"))) {
            Ok(()) => "ok",
            Err(error) if error.kind() == RespondErrorKind::Fenced => "fenced",
            Err(_) => "gone",
        };
        line(format_args!(
            "ANSWER name={name} text={text} result={result}"
        ));
    }
    Ok(())
}

/// Blocks every worker of the runtime, as synchronous code does.
fn block_runtime(time: Duration) {
    // Spawns one task per worker, as a blocked worker takes no second task. This task ends right
    // away, so that it does not occupy the last worker.
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    let begun = Instant::now();
    line(format_args!("BLOCK start workers={workers}"));
    let all_blocked = Arc::new(Barrier::new(workers));
    for _ in 0..workers {
        let all_blocked = Arc::clone(&all_blocked);
        tokio::spawn(async move {
            let last = all_blocked.wait().is_leader();
            std::thread::sleep(time.saturating_sub(begun.elapsed()));
            if last {
                line("BLOCK stop");
            }
        });
    }
}

/// Blocks one worker of the runtime; the others may continue.
async fn block_worker(time: Duration) {
    // A timer wakes this task on the worker that drives the timers. So that worker is blocked, and
    // nothing wakes the others to take over the timers.
    tokio::time::sleep(PACE * 5).await;
    line("BLOCK start workers=1");
    std::thread::sleep(time);
    line("BLOCK stop");
}

/// Shows the token to the resource until it cannot.
async fn show_token(ctx: &ActorContext, address: SocketAddr) -> Result<(), BoxError> {
    let (answers, mut orders) = TcpStream::connect(address).await?.into_split();
    let mut answers = BufReader::new(answers).lines();
    loop {
        let order = format!("ACCEPT {} {}\n", ctx.name(), ctx.token()?);
        orders.write_all(order.as_bytes()).await?;
        let answer = answers.next_line().await?.ok_or("the resource is gone")?;
        if answer != "OK" {
            line(format_args!("HOLDER stale name={}", ctx.name()));
        }
        tokio::time::sleep(PACE).await;
    }
}
