//! The leader: starts readers and counters, and hands out chunks to the readers until all are
//! counted.
//!
//! It keeps nothing that its successor needs: the job has the plan, and the counters know what they
//! have counted.

use std::time::Duration;

use actorgrid::{
    ActorContext, ActorResult, ActorStart, BoxError, Kind, Message, RequestError, RequestErrorKind,
};
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::chunk_set::ChunkSet;
use crate::job::{JOB, REQUEST_DEADLINE};
use crate::job_actors::{actor_names, stop_actors};
use crate::messages::{
    Began, Chunk, ChunkDone, GaveUp, GetChunks, GetPlan, Member, PlanPage, Read,
};

/// The number of chunks under way to one reader: one that it reads and one that waits, so that the
/// reader never waits.
pub(crate) const WINDOW: usize = 2;
/// How long to wait before another round, or before looking for a job again.
const PAUSE: Duration = Duration::from_millis(200);
/// The number of rounds without a new chunk after which the job is abandoned.
const MAX_FRUITLESS_ROUNDS: u32 = 5;

/// Leads one job after another.
pub(crate) async fn lead(ctx: ActorContext) -> ActorResult {
    tokio::select! {
        biased;
        _ = ctx.stopping() => Ok(()),
        never = lead_jobs(&ctx) => never,
    }
}

async fn lead_jobs(ctx: &ActorContext) -> ActorResult {
    let mut last = None;
    loop {
        match fetch_plan(ctx).await {
            Ok(plan) if last != Some(plan.job) => {
                last = Some(plan.job);
                work(ctx, &plan).await?;
            }
            Ok(_) => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                tracing::debug!(%error, "no job");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Fetches the whole plan of a job.
async fn fetch_plan(ctx: &ActorContext) -> Result<PlanPage, RequestError> {
    let ask = |from| ctx.client().request(JOB, GetPlan { from }).wait_for_name();
    let mut plan = ask(0).await?;
    while (plan.chunks.len() as u64) < plan.chunks_in_all {
        let page = ask(plan.chunks.len() as u64).await?;
        if page.job != plan.job || page.chunks.is_empty() {
            // The job was replaced by another one meanwhile.
            return Box::pin(fetch_plan(ctx)).await;
        }
        plan.chunks.extend(page.chunks);
    }
    Ok(plan)
}

/// The reason why a round ended early.
enum Trouble {
    /// Nobody needs the result any more.
    JobGone(RequestError),
    /// An actor is gone or fails, so another round may help.
    Failed(BoxError),
}

impl<E: Into<BoxError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Works until all chunks are counted, or further work is pointless.
async fn work(ctx: &ActorContext, plan: &PlanPage) -> ActorResult {
    let leader = ctx.token()?.revision();
    let (mut fruitless, mut most_done) = (0, 0);
    loop {
        let mut done = 0;
        let failed = match round(ctx, plan, leader, &mut done).await {
            Ok(()) => return Ok(()),
            Err(Trouble::JobGone(error)) => {
                tracing::info!(%error, "the job is gone");
                stop_actors(ctx.client(), plan.job, plan.members).await;
                return Ok(());
            }
            Err(Trouble::Failed(error)) => error,
        };
        tracing::warn!(error = failed, "a round of the job failed");
        fruitless = if done > most_done { 0 } else { fruitless + 1 };
        most_done = most_done.max(done);
        if fruitless == MAX_FRUITLESS_ROUNDS {
            let why = failed.to_string();
            let _ = ctx.client().request(JOB, GaveUp { why }).await;
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Starts missing actors, asks which chunks are done, and has the others read. Counts the chunks in
/// `done`.
async fn round(
    ctx: &ActorContext,
    plan: &PlanPage,
    leader: i64,
    done: &mut u64,
) -> Result<(), Trouble> {
    start_actors(ctx, plan).await?;
    let asked = actor_names("counter", plan.job, plan.members).map(|counter| {
        ctx.client()
            .request(counter, GetChunks {})
            .idempotent()
            .send()
    });
    let sets: Vec<_> = try_join_all(asked)
        .await?
        .into_iter()
        .map(|chunks| ChunkSet::from_bytes(chunks.counted))
        .collect();
    let (common, any) = ChunkSet::common_and_any(&sets);
    *done = common.len();
    let began = Began {
        leader,
        done: common.len(),
        in_part: any.len() - common.len(),
    };
    report_to_job(ctx, began).await?;

    let mut rest = (0..)
        .zip(&plan.chunks)
        .filter(|(index, _)| !common.contains(*index));
    let mut under_way = FuturesUnordered::new();
    for _ in 0..WINDOW {
        for reader in actor_names("reader", plan.job, plan.members) {
            under_way.extend(rest.next().map(|chunk| read(ctx, reader, chunk)));
        }
    }
    let mut failed = None;
    while let Some((reader, result)) = under_way.next().await {
        // Readings under way are awaited even after a failure: otherwise they would only be
        // repeated.
        match result {
            Ok(_) => {
                *done += 1;
                report_to_job(ctx, ChunkDone { leader }).await?;
            }
            Err(error) => failed = Some(error),
        }
        if failed.is_none() {
            under_way.extend(rest.next().map(|chunk| read(ctx, reader, chunk)));
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

async fn read(
    ctx: &ActorContext,
    reader: String,
    (index, chunk): (u64, &Chunk),
) -> (String, Result<actorgrid::Ack, RequestError>) {
    let read = Read {
        chunk: index,
        parts: chunk.parts.clone(),
    };
    let request = ctx.client().request(&*reader, read).idempotent();
    let result = request.deadline(REQUEST_DEADLINE).await;
    (reader, result)
}

/// Starts one reader and one counter for each peer that was there when the job began, on the peers
/// that are there now.
async fn start_actors(ctx: &ActorContext, plan: &PlanPage) -> Result<(), BoxError> {
    let peers = ctx.client().query(Kind::Peer).await?;
    let member = Member {
        job: plan.job,
        members: plan.members,
    };
    let starts = ["counter", "reader"].into_iter().flat_map(|actor_type| {
        actor_names(actor_type, plan.job, plan.members)
            .zip(peers.iter().cycle())
            .map(move |(name, peer)| (ActorStart::new(name, actor_type), peer))
    });
    let started = starts.map(|(start, peer)| {
        let request = ctx.client().start(peer, start.message(&member));
        request.send()
    });
    for result in join_all(started).await {
        match result {
            Err(error) if error.kind() != RequestErrorKind::AlreadyRunning => {
                return Err(error.into());
            }
            _ => {}
        }
    }
    Ok(())
}

async fn report_to_job<M: Message>(ctx: &ActorContext, message: M) -> Result<M::Reply, Trouble> {
    ctx.client()
        .request(JOB, message)
        .await
        .map_err(Trouble::JobGone)
}
