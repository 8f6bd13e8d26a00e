//! A client and a peer in one process, which take turns.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use actorgrid::{
    ActorContext, ActorResult, ActorStart, ActorType, BoxError, Client, EchoMsg, MemoryRegistry,
    Name, Request, Server, Simulation,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};

use crate::counted_side::CountedSide;

/// The actor, and its type.
const ECHO: &str = "echo";
const NAMESPACE: &str = "instructions";
/// As many as in the bench's usual case.
const IN_FLIGHT: u64 = 64;
/// Requests before any is counted: the link is open, names are sent by their ids, and buffers have
/// their sizes.
const WARM_UP: u64 = 50 * IN_FLIGHT;
/// So many that what happens only now and then, such as the return of credit, has its share.
const COUNTED: u64 = 200 * IN_FLIGHT;
/// The text of a message of 70 bytes.
const TEXT_BYTES: usize = 68;
/// How often one side looks for events in its turn. It suffices to handle all that the other side
/// has sent, and to send what results from that. With fewer, requests would travel in smaller
/// groups.
const LOOKS: usize = 4;

/// A client and a peer, each on a runtime of its own and both on one thread. While one side has its
/// turn, the other one does not run, so the instructions of each turn belong to one side, and a
/// repeated run takes the same turns.
///
/// The network is simulated. A real one would have a kernel decide which bytes come together, and
/// the clock of a real environment reads the vDSO, which is missing under valgrind.
struct EchoGrid {
    calling: Runtime,
    serving: Runtime,
}

/// The requests of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PushedRequests {
    /// Those whose instructions were counted.
    pub(crate) counted: u64,
    pub(crate) all: u64,
}

impl fmt::Display for PushedRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.counted, self.all)
    }
}

impl FromStr for PushedRequests {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let (counted, all) = text.trim().split_once(' ').ok_or("not two numbers")?;
        Ok(Self {
            counted: counted.parse()?,
            all: all.parse()?,
        })
    }
}

/// How far the callers have come.
#[derive(Default)]
struct Progress {
    answered: AtomicU64,
    is_over: AtomicBool,
}

/// Sends requests, and lets callgrind count a side while at least [`COUNTED`] of them are answered.
pub(crate) fn push_requests(counted: CountedSide) -> Result<PushedRequests, BoxError> {
    let grid = EchoGrid {
        calling: Builder::new_current_thread().enable_time().build()?,
        serving: Builder::new_current_thread().enable_time().build()?,
    };
    let world = Simulation::new(1);
    let registry = MemoryRegistry::new(&world.environment()).registry();
    let server = Server::builder(NAMESPACE, registry.clone())
        .environment(world.environment())
        .actor_type(
            ActorType::from_fn(ECHO, |_start, ctx| echo(ctx))
                .mailbox::<Request<EchoMsg>>(2 * IN_FLIGHT as usize),
        )
        .bind("127.0.0.1:0");
    let server = grid.complete(grid.serving.spawn(server))??;
    let peer = server.handle().peer().clone();
    let (client, callers_runtime) = match counted {
        CountedSide::Local => (server.handle().client().clone(), &grid.serving),
        CountedSide::Calling | CountedSide::Serving => {
            let client = Client::builder(NAMESPACE, registry).environment(world.environment());
            (client.build(), &grid.calling)
        }
    };

    let starting = client.clone();
    let start = async move { starting.start(&peer, ActorStart::new(ECHO, ECHO)).await };
    grid.complete(grid.calling.spawn(start))??;

    let progress = Arc::new(Progress::default());
    let callers: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let calls = call(client.clone(), Arc::clone(&progress));
            callers_runtime.spawn(calls)
        })
        .collect();
    let run_until = |goal, counted| loop {
        let now = progress.answered.load(Ordering::Relaxed);
        if now >= goal || callers.iter().any(JoinHandle::is_finished) {
            return now;
        }
        grid.take_turns(counted);
    };
    let before = run_until(WARM_UP, None);
    let after = run_until(before + COUNTED, Some(counted));
    progress.is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        grid.complete(caller)??;
    }
    let closing = grid.calling.spawn(async move { client.close().await });
    grid.complete(closing)?;
    let shutdown = grid.serving.spawn(async move { server.shutdown().await });
    grid.complete(shutdown)??;
    match after - before {
        counted @ COUNTED.. => Ok(PushedRequests {
            counted,
            all: progress.answered.load(Ordering::Relaxed),
        }),
        _ => Err("the callers have ended too early".into()),
    }
}

impl EchoGrid {
    /// Runs both sides until a task has ended.
    fn complete<T>(&self, task: JoinHandle<T>) -> Result<T, BoxError> {
        while !task.is_finished() {
            self.take_turns(None);
        }
        Ok(self.calling.block_on(task)?)
    }

    fn take_turns(&self, counted: Option<CountedSide>) {
        let is_calling = counted == Some(CountedSide::Calling);
        let is_serving = counted.is_some() && !is_calling;
        for (runtime, is_counted) in [(&self.calling, is_calling), (&self.serving, is_serving)] {
            match is_counted {
                true => counted_turn(runtime),
                false => turn(runtime),
            }
        }
    }
}

/// Callgrind counts while this function runs, which it finds by its name.
#[inline(never)]
fn counted_turn(runtime: &Runtime) {
    turn(runtime);
    // Otherwise this could become a jump, which callgrind does not see as a call that returns.
    std::hint::black_box(runtime);
}

/// Runs what is ready at one side, and what becomes ready thereby.
fn turn(runtime: &Runtime) {
    runtime.block_on(async {
        for _ in 0..LOOKS {
            yield_now().await;
        }
    });
}

/// Sends one request after the other.
async fn call(client: Client, progress: Arc<Progress>) -> Result<(), BoxError> {
    let name = Name::new(ECHO)?;
    let message = EchoMsg::new("x".repeat(TEXT_BYTES));
    while !progress.is_over.load(Ordering::Relaxed) {
        client.request(&name, message.clone()).await?;
        progress.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn echo(ctx: ActorContext) -> ActorResult {
    let mut mailbox = ctx
        .mailbox::<Request<EchoMsg>>(2 * IN_FLIGHT as usize)
        .await?;
    while let Some(request) = mailbox.recv().await {
        let reply = request.message().clone();
        request.respond(reply)?;
    }
    Ok(())
}
