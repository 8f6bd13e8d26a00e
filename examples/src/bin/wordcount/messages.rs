//! The messages between the actors of a job.

use actorgrid::Message;

/// A chunk, the unit of work. Small files share a chunk, a large file is spread over several.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Chunk {
    #[prost(message, repeated, tag = "1")]
    pub(crate) parts: Vec<Part>,
}

/// A file, or a piece of one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Part {
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    /// None means the whole file, which is skipped if it is not UTF-8. Pieces belong to UTF-8 files
    /// only.
    #[prost(message, optional, tag = "2")]
    pub(crate) piece: Option<Piece>,
}

/// A range of bytes in a file.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Piece {
    #[prost(uint64, tag = "1")]
    pub(crate) offset: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) length: u64,
}

/// The leader asks the job for its chunks, from the given one on.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/GetPlan", reply = PlanPage)]
pub(crate) struct GetPlan {
    #[prost(uint64, tag = "1")]
    pub(crate) from: u64,
}

/// As many chunks as fit.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/PlanPage")]
pub(crate) struct PlanPage {
    /// Identifies the job; part of the names of its actors.
    #[prost(int64, tag = "1")]
    pub(crate) job: i64,
    /// The number of readers, and of counters.
    #[prost(uint32, tag = "2")]
    pub(crate) members: u32,
    #[prost(uint64, tag = "3")]
    pub(crate) chunks_in_all: u64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) chunks: Vec<Chunk>,
}

/// The leader reports to the job what it found when it began.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/Began")]
pub(crate) struct Began {
    /// The revision of the leader's token.
    #[prost(int64, tag = "1")]
    pub(crate) leader: i64,
    /// The number of chunks that every counter has.
    #[prost(uint64, tag = "2")]
    pub(crate) done: u64,
    /// The number of chunks that only some counters have: they are read again.
    #[prost(uint64, tag = "3")]
    pub(crate) in_part: u64,
}

/// The leader reports to the job that one more chunk is done, and continues after the answer.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/ChunkDone")]
pub(crate) struct ChunkDone {
    #[prost(int64, tag = "1")]
    pub(crate) leader: i64,
}

/// The leader has abandoned the job.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/GaveUp")]
pub(crate) struct GaveUp {
    #[prost(string, tag = "1")]
    pub(crate) why: String,
}

/// Names the job that an actor belongs to: the data of its start.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/Member")]
pub(crate) struct Member {
    #[prost(int64, tag = "1")]
    pub(crate) job: i64,
    #[prost(uint32, tag = "2")]
    pub(crate) members: u32,
}

/// Asks a reader to read a chunk; answered when all counters have its words.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/Read")]
pub(crate) struct Read {
    #[prost(uint64, tag = "1")]
    pub(crate) chunk: u64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) parts: Vec<Part>,
}

/// Words and how often each occurs. One text holds all of them, as a batch has thousands.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Counts {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(uint64, repeated, tag = "2")]
    counts: Vec<u64>,
}

impl Counts {
    /// Follows each word; no word contains it.
    const END: char = '\n';

    pub(crate) fn push(&mut self, word: &str, count: u64) {
        self.text.push_str(word);
        self.text.push(Self::END);
        self.counts.push(count);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.text.split(Self::END).zip(self.counts.iter().copied())
    }

    /// Returns roughly the size of the message, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.text.len() + 2 * self.counts.len()
    }
}

/// Counts of what was read, besides words.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Tally {
    #[prost(uint64, tag = "1")]
    pub(crate) files: u64,
    /// The number of files that are not UTF-8.
    #[prost(uint64, tag = "2")]
    pub(crate) skipped: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) bytes: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.skipped += other.skipped;
        self.bytes += other.bytes;
    }
}

/// A chunk's words for one counter, or a part of them. They count once all parts of one reading
/// have arrived.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/Batch")]
pub(crate) struct Batch {
    #[prost(uint64, tag = "1")]
    pub(crate) chunk: u64,
    /// Identifies the reading: the revision of the reader's token, and a number that the reader
    /// assigns.
    #[prost(int64, tag = "2")]
    pub(crate) reader: i64,
    #[prost(uint64, tag = "3")]
    pub(crate) reading: u64,
    #[prost(uint32, tag = "4")]
    pub(crate) part: u32,
    #[prost(bool, tag = "5")]
    pub(crate) is_last: bool,
    #[prost(message, required, tag = "6")]
    pub(crate) counts: Counts,
    /// Sent to only one of the counters.
    #[prost(message, optional, tag = "7")]
    pub(crate) tally: Option<Tally>,
}

/// Asks a counter which chunks it has.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/GetChunks", reply = Chunks)]
pub(crate) struct GetChunks {}

/// The chunks of a counter, as sets of bits.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/Chunks")]
pub(crate) struct Chunks {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) counted: Vec<u8>,
    /// The chunks that were sent again and ignored.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) repeated: Vec<u8>,
    /// How often chunks were counted in total; equals the size of the set if each counted once.
    #[prost(uint64, tag = "3")]
    pub(crate) times_counted: u64,
}

/// Asks a counter for its counts, from the given one on.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/GetCounts", reply = CountsPage)]
pub(crate) struct GetCounts {
    #[prost(uint64, tag = "1")]
    pub(crate) from: u64,
}

/// As many counts as fit.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "wordcount/CountsPage")]
pub(crate) struct CountsPage {
    #[prost(message, required, tag = "1")]
    pub(crate) counts: Counts,
    /// Where the next page begins; none after the last one.
    #[prost(uint64, optional, tag = "2")]
    pub(crate) next: Option<u64>,
    /// The tally of everything that the counter received.
    #[prost(message, required, tag = "3")]
    pub(crate) tally: Tally,
}
