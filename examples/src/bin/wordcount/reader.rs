//! Readers: they count the words of a chunk and pass the counts on to the counters.

use std::collections::HashMap;
use std::fs::{self, File};
use std::num::NonZeroU32;

use actorgrid::{
    Ack, ActorContext, ActorResult, ActorStart, ActorType, BoxError, Request, RequestError, Ring,
};
use foldhash::fast::RandomState;
use futures_util::future::try_join_all;

use crate::job::REQUEST_DEADLINE;
use crate::leader::WINDOW;
use crate::messages::{Batch, Counts, Member, Part, Read, Tally};
use crate::piece::read_piece;
use crate::words::words;

/// The size of one batch: far below the limit of a message, with room for one long word.
pub(crate) const MAX_BATCH_BYTES: usize = 512 * 1024;

/// Two windows: when one leader follows another, the chunks of both may be waiting.
const CAPACITY: usize = 2 * WINDOW;

pub(crate) fn reader_type() -> ActorType {
    ActorType::from_fn("reader", run).mailbox::<Request<Read>>(CAPACITY)
}

async fn run(start: ActorStart, ctx: ActorContext) -> ActorResult {
    let Member { job, members } = start.decode()?;
    let members = NonZeroU32::new(members).ok_or("there are no counters")?;
    let ring = Ring::new(&format!("counter-{job}"), members)?;
    let mut mailbox = ctx.mailbox::<Request<Read>>(CAPACITY).await?;
    let mut reading = 0;
    while let Some(request) = mailbox.recv().await {
        let (Read { chunk, parts }, responder) = request.into_parts();
        reading += 1;
        let done = async {
            let by = ring.clone();
            // Reading blocks, and counting takes a while.
            let counted = tokio::task::spawn_blocking(move || count(&parts, &by)).await??;
            send(&ctx, &ring, chunk, reading, counted).await
        };
        // If the leader is gone, the next one asks the counters what they have.
        let _ = match done.await {
            Ok(()) => responder.respond(Ack {}),
            Err(error) => responder.fail(error),
        };
    }
    Ok(())
}

/// The words of a chunk.
struct Counted {
    /// The batches for each counter, at least one.
    batches: Vec<Vec<Counts>>,
    tally: Tally,
}

fn count(parts: &[Part], ring: &Ring) -> Result<Counted, BoxError> {
    let mut texts = Vec::with_capacity(parts.len());
    let mut tally = Tally::default();
    for part in parts {
        let text = match part.piece {
            Some(piece) => {
                tally.files += u64::from(piece.offset == 0);
                tally.bytes += piece.length;
                File::open(&part.path)
                    .and_then(|mut file| read_piece(&mut file, piece.offset, piece.length))
            }
            None => match fs::read(&part.path).map(String::from_utf8) {
                Ok(Ok(text)) => {
                    tally.files += 1;
                    tally.bytes += text.len() as u64;
                    Ok(text)
                }
                Ok(Err(_)) => {
                    tally.skipped += 1;
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        texts.push(text.map_err(|error| format!("{}: {error}", part.path))?);
    }
    let mut counts: HashMap<&str, u64, RandomState> = HashMap::default();
    for word in texts.iter().flat_map(|text| words(text)) {
        *counts.entry(word).or_default() += 1;
    }
    let mut batches = vec![vec![Counts::default()]; ring.members().get() as usize];
    for (word, count) in counts {
        let of_counter = &mut batches[ring.index_by_str(word) as usize];
        match of_counter.last_mut() {
            Some(batch) if batch.size() < MAX_BATCH_BYTES => batch.push(word, count),
            _ => {
                let mut batch = Counts::default();
                batch.push(word, count);
                of_counter.push(batch);
            }
        }
    }
    Ok(Counted { batches, tally })
}

/// Sends the batches: to all counters at once, the batches of each in order. Repeating one does no
/// harm, as counters count each chunk once.
async fn send(
    ctx: &ActorContext,
    ring: &Ring,
    chunk: u64,
    reading: u64,
    counted: Counted,
) -> Result<(), BoxError> {
    let reader = ctx.token()?.revision();
    let to_all = ring.names().zip(counted.batches).enumerate();
    try_join_all(to_all.map(async |(index, (counter, batches))| {
        let count = batches.len();
        for (part, counts) in batches.into_iter().enumerate() {
            let batch = Batch {
                chunk,
                reader,
                reading,
                part: part as u32,
                is_last: part + 1 == count,
                counts,
                tally: (index == 0).then_some(counted.tally),
            };
            let request = ctx.client().request(&counter, batch);
            request.deadline(REQUEST_DEADLINE).idempotent().await?;
        }
        Ok::<_, RequestError>(())
    }))
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_and_hold_all_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("many");
        let text: String = (0..200_000)
            .map(|index| format!("word{index} same "))
            .collect();
        fs::write(&path, &text).unwrap();
        let part = Part {
            path: path.to_str().unwrap().to_owned(),
            piece: None,
        };
        let ring = Ring::new("counter-1", NonZeroU32::new(2).unwrap()).unwrap();
        let counted = count(&[part], &ring).unwrap();
        assert_eq!(counted.batches.len(), 2);
        let mut all = HashMap::new();
        for (index, batches) in counted.batches.iter().enumerate() {
            assert!(batches.len() > 1);
            for batch in batches {
                assert!(batch.size() < MAX_BATCH_BYTES + 100);
                for (word, count) in batch.iter() {
                    assert_eq!(ring.index_by_str(word) as usize, index);
                    assert_eq!(all.insert(word, count), None);
                }
            }
        }
        assert_eq!(all.len(), 200_001);
        assert_eq!(all["same"], 200_000);
        assert_eq!(counted.tally.bytes, text.len() as u64);
    }
}
