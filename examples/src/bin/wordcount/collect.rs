//! Collects the results of the counters at the end of a job.

use actorgrid::{BoxError, Client, RequestError};
use futures_util::future::try_join_all;

use crate::chunk_set::ChunkSet;
use crate::job_actors::actor_names;
use crate::messages::{Counts, GetChunks, GetCounts, Tally};
use crate::plan::Plan;

/// The results of the counters.
pub(crate) struct Outcome {
    pub(crate) counts: Vec<Counts>,
    pub(crate) tally: Tally,
    pub(crate) members: u32,
}

/// Fetches the counts of all counters, and checks that each of them has counted every chunk.
pub(crate) async fn collect(
    client: &Client,
    job: i64,
    members: u32,
    plan: &Plan,
    leaders: usize,
) -> Result<Outcome, BoxError> {
    let chunks = plan.chunks.len() as u64;
    let of_counters = actor_names("counter", job, members).map(|name| of_counter(client, name));
    let mut outcome = Outcome {
        counts: Vec::new(),
        tally: Tally {
            skipped: plan.skipped,
            ..Tally::default()
        },
        members,
    };
    let (mut repeated, mut twice) = (Vec::new(), 0);
    for part in try_join_all(of_counters).await? {
        if part.counted.len() != chunks {
            return Err("a counter was lost after the last chunk: run the job again".into());
        }
        repeated.push(part.repeated);
        twice += part.times_counted.saturating_sub(chunks);
        outcome.tally += part.tally;
        outcome.counts.extend(part.counts);
    }
    if leaders > 1 {
        let (_, read_again) = ChunkSet::common_and_any(&repeated);
        eprintln!(
            "{chunks} chunks were counted, {} were sent again and ignored, {twice} counted twice",
            read_again.len()
        );
    }
    Ok(outcome)
}

struct OfCounter {
    counts: Vec<Counts>,
    tally: Tally,
    counted: ChunkSet,
    repeated: ChunkSet,
    times_counted: u64,
}

async fn of_counter(client: &Client, name: String) -> Result<OfCounter, RequestError> {
    let (mut counts, mut tally, mut from) = (Vec::new(), Tally::default(), Some(0));
    while let Some(at) = from {
        let page = client
            .request(&*name, GetCounts { from: at })
            .idempotent()
            .await?;
        counts.push(page.counts);
        tally = page.tally;
        from = page.next;
    }
    let chunks = client.request(&*name, GetChunks {}).idempotent().await?;
    Ok(OfCounter {
        counts,
        tally,
        counted: ChunkSet::from_bytes(chunks.counted),
        repeated: ChunkSet::from_bytes(chunks.repeated),
        times_counted: chunks.times_counted,
    })
}
