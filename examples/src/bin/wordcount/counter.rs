//! Counters: each counts the words that the ring assigns to it.

use std::collections::HashMap;

use actorgrid::{Ack, ActorContext, ActorResult, ActorType, MessageSet, Request};
use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::chunk_set::ChunkSet;
use crate::messages::{Batch, Chunks, Counts, CountsPage, GetChunks, GetCounts, Tally};

/// The number of batches that may wait; more are rejected as busy, and their readers wait. Each has
/// up to [`MAX_BATCH_BYTES`](crate::reader::MAX_BATCH_BYTES).
const CAPACITY: usize = 32;
/// The size of one page of counts, in bytes.
const PAGE_BYTES: usize = 1024 * 1024;

#[derive(MessageSet)]
enum CounterMessage {
    Batch(Request<Batch>),
    GetChunks(Request<GetChunks>),
    GetCounts(Request<GetCounts>),
}

pub(crate) fn counter_type() -> ActorType {
    ActorType::from_fn("counter", |_start, ctx| run(ctx)).mailbox::<CounterMessage>(CAPACITY)
}

async fn run(ctx: ActorContext) -> ActorResult {
    let mut mailbox = ctx.mailbox::<CounterMessage>(CAPACITY).await?;
    let mut counter = Counter::default();
    while let Some(message) = mailbox.recv().await {
        // A caller that does not wait for the answer any more asks again, or has been replaced.
        match message {
            CounterMessage::Batch(request) => {
                let (batch, responder) = request.into_parts();
                let _ = match counter.take(batch) {
                    Ok(()) => responder.respond(Ack {}),
                    Err(error) => responder.fail(error),
                };
            }
            CounterMessage::GetChunks(request) => {
                let _ = request.respond(counter.chunks());
            }
            CounterMessage::GetCounts(request) => {
                let page = counter.page(request.message().from);
                let _ = request.respond(page);
            }
        }
    }
    Ok(())
}

/// The state of a counter.
#[derive(Default)]
struct Counter {
    words: IndexMap<Box<str>, u64, RandomState>,
    tally: Tally,
    counted: ChunkSet,
    repeated: ChunkSet,
    times_counted: u64,
    /// Readings of chunks that are still incomplete.
    staged: HashMap<u64, Staged>,
}

struct Staged {
    reading: (i64, u64),
    parts: Vec<Counts>,
}

impl Counter {
    /// Accepts a batch. Each chunk counts only once, from any sender and however often it is sent.
    fn take(&mut self, batch: Batch) -> Result<(), &'static str> {
        let reading = (batch.reader, batch.reading);
        if self.counted.contains(batch.chunk) {
            self.repeated.insert(batch.chunk);
            return Ok(());
        }
        if batch.part == 0 && batch.is_last {
            self.staged.remove(&batch.chunk);
            self.add(&batch.counts);
        } else {
            let staged = self.staged.entry(batch.chunk).or_insert(Staged {
                reading,
                parts: Vec::new(),
            });
            if staged.reading != reading {
                // Another reader abandoned the chunk half-way, or this one repeats it needlessly.
                *staged = Staged {
                    reading,
                    parts: Vec::new(),
                };
            }
            match (batch.part as usize).cmp(&staged.parts.len()) {
                std::cmp::Ordering::Less => return Ok(()), // sent again
                std::cmp::Ordering::Equal => staged.parts.push(batch.counts),
                std::cmp::Ordering::Greater => return Err("a part of the chunk is missing"),
            }
            if !batch.is_last {
                return Ok(());
            }
            let parts = self.staged.remove(&batch.chunk).map(|staged| staged.parts);
            for counts in parts.iter().flatten() {
                self.add(counts);
            }
        }
        self.tally += batch.tally.unwrap_or_default();
        self.counted.insert(batch.chunk);
        self.times_counted += 1;
        Ok(())
    }

    fn add(&mut self, counts: &Counts) {
        for (word, count) in counts.iter() {
            match self.words.get_mut(word) {
                Some(sum) => *sum += count,
                None => drop(self.words.insert(word.into(), count)),
            }
        }
    }

    fn chunks(&self) -> Chunks {
        Chunks {
            counted: self.counted.as_bytes().to_vec(),
            repeated: self.repeated.as_bytes().to_vec(),
            times_counted: self.times_counted,
        }
    }

    fn page(&self, from: u64) -> CountsPage {
        let from = usize::try_from(from)
            .unwrap_or(usize::MAX)
            .min(self.words.len());
        let mut counts = Counts::default();
        let mut next = from;
        while counts.size() < PAGE_BYTES
            && let Some((word, count)) = self.words.get_index(next)
        {
            counts.push(word, *count);
            next += 1;
        }
        CountsPage {
            counts,
            next: (next < self.words.len()).then_some(next as u64),
            tally: self.tally,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(chunk: u64, reading: u64, part: u32, is_last: bool) -> Batch {
        let mut counts = Counts::default();
        counts.push("word", 1);
        counts.push(&format!("part-{part}"), 2);
        Batch {
            chunk,
            reader: 1,
            reading,
            part,
            is_last,
            counts,
            tally: None,
        }
    }

    fn count(counter: &Counter) -> u64 {
        counter.words.get("word").copied().unwrap_or(0)
    }

    #[test]
    fn a_chunk_counts_once() {
        let mut counter = Counter::default();
        counter.take(batch(0, 0, 0, true)).unwrap();
        counter.take(batch(0, 0, 0, true)).unwrap();
        counter.take(batch(0, 1, 0, true)).unwrap();
        counter.take(batch(5, 2, 0, true)).unwrap();
        assert_eq!(count(&counter), 2);
        assert_eq!((counter.counted.len(), counter.repeated.len()), (2, 1));
    }

    #[test]
    fn parts_count_together_and_those_of_two_readings_do_not_mix() {
        let mut counter = Counter::default();
        counter.take(batch(0, 1, 0, false)).unwrap();
        counter.take(batch(0, 1, 1, false)).unwrap();
        assert_eq!(count(&counter), 0);
        counter.take(batch(0, 2, 0, false)).unwrap();
        assert!(counter.take(batch(0, 1, 2, true)).is_err());
        counter.take(batch(0, 3, 0, false)).unwrap();
        counter.take(batch(0, 3, 0, false)).unwrap();
        counter.take(batch(0, 3, 1, true)).unwrap();
        assert_eq!(count(&counter), 2);
        assert_eq!(counter.counted.len(), 1);
    }

    #[test]
    fn pages_hold_all_counts_once() {
        let mut counter = Counter::default();
        let mut counts = Counts::default();
        for index in 0..200_000 {
            counts.push(&format!("word{index}"), index);
        }
        counter.add(&counts);
        let (mut from, mut found, mut pages) = (Some(0), Vec::new(), 0);
        while let Some(at) = from {
            let page = counter.page(at);
            found.extend(
                page.counts
                    .iter()
                    .map(|(word, count)| (word.to_owned(), count)),
            );
            from = page.next;
            pages += 1;
        }
        assert!(pages > 1);
        assert!(
            found
                .iter()
                .map(|(word, count)| (&**word, *count))
                .eq(counts.iter())
        );
        assert_eq!(counter.page(u64::MAX).next, None);
    }
}
