//! The send buffer of a link: frames that are to be written, in their order of precedence.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncWrite, WriteHalf};

use super::chunk::ChunkFrame;
use super::limits::MAX_BODY_BYTES;
use crate::route::budget::{BudgetFull, Charge, Purse};
use crate::route::transport::Transport;

/// The writing half of a link's socket.
pub(super) type LinkWriter = WriteHalf<Transport>;

/// Urgent frames and others are written together if there are no more of the others than this: a
/// copy costs less than another call to the system.
const MERGED_BYTES: usize = 16 * 1024;
/// One who sends writes as soon as this share of all that is in flight (a quarter) waits, and does
/// not leave it to the link's task. If everything travelled together, the two sides would take
/// turns, each idle while the other works: 0.29 instead of 0.47 of raw TCP with 64 in flight.
const EARLY_SHARE: u64 = 4;
/// Fewer frames than this wait for the link's task: the call to the system would cost more.
const MIN_EARLY_FRAMES: u64 = 16;
/// More bytes than this are left to the task as well: the lock is held while others write.
const MAX_EARLY_BYTES: usize = 128 * 1024;
/// A buffer that has grown beyond this is not kept.
const MAX_KEPT_BYTES: usize = 256 * 1024;

/// A buffer that has grown beyond this is not kept by a link on which nothing happens, of which
/// there may be thousands.
const MAX_IDLE_BYTES: usize = 16 * 1024;

/// Frames that wait to be written. Behind a lock that the link's task and everyone who sends share:
/// each encodes straight into it.
///
/// Urgent frames go first. The chunks of large messages go last, one of each in turn, so that
/// whatever is small never waits for more than one of them. Of two batches at least one has what is
/// not urgent, and a chunk: nothing starves.
#[derive(Debug)]
pub(super) struct Outbox<W = LinkWriter> {
    urgent: BytesMut,
    data: BytesMut,
    /// Those of the replies in `data` that have one of their own.
    charges: Vec<Charge>,
    /// The room of the other replies in `data`, and of those that are being written. None on the
    /// calling side, whose requests are not charged.
    purse: Option<Purse>,
    /// The bytes that were paid for the replies in `data`.
    paid: usize,
    large: VecDeque<LargeMessage>,
    /// Whether `data` begins within a frame, of which the rest must go next.
    is_torn: bool,
    /// Whether the last batch left `data` behind: it goes next.
    owes_data: bool,
    /// The link's task, while it sleeps.
    sleeper: Option<Waker>,
    /// Whether the link's task is woken once everything is written.
    reports_flush: bool,
    /// The socket, unless the link's task has it because it writes.
    writer: Option<W>,
    /// How often something was appended since something was written.
    appended: u64,
    /// Whether the link's task must look at more than frames.
    needs_attention: bool,
    /// The large messages whose last chunk was taken.
    finished: Vec<u64>,
    /// The batches that were taken.
    batches: u64,
    /// The bytes that were written by others than the link's task.
    written: u64,
    is_broken: bool,
}

/// A message of more than 65 KiB, or what is left of it.
#[derive(Debug)]
pub(super) struct LargeMessage {
    pub(super) sequence: u64,
    pub(super) bytes: Bytes,
    pub(super) charge: Option<Charge>,
}

/// Bytes to write next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: BytesMut,
    /// Released when the bytes are written.
    pub(super) charges: Vec<Charge>,
    /// To be [refunded](Outbox::refund) when the bytes are written.
    pub(super) paid: usize,
    /// The bytes of urgent frames among them.
    pub(super) urgent: usize,
}

impl<W> Outbox<W> {
    pub(super) fn new() -> Self {
        Self {
            urgent: BytesMut::new(),
            data: BytesMut::new(),
            charges: Vec::new(),
            purse: None,
            paid: 0,
            large: VecDeque::new(),
            is_torn: false,
            owes_data: false,
            sleeper: None,
            reports_flush: false,
            writer: None,
            appended: 0,
            needs_attention: false,
            finished: Vec::new(),
            batches: 0,
            written: 0,
            is_broken: false,
        }
    }

    /// The same, which pays for replies.
    pub(super) fn paying(purse: Purse) -> Self {
        Self {
            purse: Some(purse),
            ..Self::new()
        }
    }

    /// Pays for a reply that is appended to the data next.
    pub(super) fn pay(&mut self, bytes: usize) -> Result<(), BudgetFull> {
        if let Some(purse) = &mut self.purse {
            purse.pay(bytes)?;
            self.paid += bytes;
        }
        Ok(())
    }

    /// The reply that was paid for last is not sent.
    pub(super) fn unpay(&mut self, bytes: usize) {
        self.paid -= bytes;
        self.refund(bytes);
    }

    /// Replies for which this was paid are written.
    pub(super) fn refund(&mut self, bytes: usize) {
        if let Some(purse) = &mut self.purse
            && bytes > 0
        {
            purse.refund(bytes);
        }
    }

    /// Gives back the room that is kept for further replies.
    pub(super) fn trim_purse(&mut self) {
        if let Some(purse) = &mut self.purse {
            purse.trim();
        }
    }

    /// For frames that overtake: errors, and those about the link itself.
    pub(super) fn urgent(&mut self) -> &mut BytesMut {
        &mut self.urgent
    }

    /// For frames that keep their order.
    pub(super) fn data(&mut self) -> &mut BytesMut {
        &mut self.data
    }

    /// The frame that was appended last to the data has this charge.
    pub(super) fn charge(&mut self, charge: Option<Charge>) {
        self.charges.extend(charge);
    }

    /// Sends a message in chunks. The frame that announces it is in the data already.
    pub(super) fn push_large(&mut self, message: LargeMessage) {
        self.large.push_back(message);
    }

    /// Gives up the rest of a message in chunks. Returns whether there was some.
    pub(super) fn remove_large(&mut self, sequence: u64) -> Option<LargeMessage> {
        let place = self
            .large
            .iter()
            .position(|large| large.sequence == sequence)?;
        self.large.remove(place)
    }

    /// Nothing happens on the link: large buffers are released if they are empty.
    pub(super) fn release_room(&mut self) {
        release_room(&mut self.urgent);
        release_room(&mut self.data);
    }

    /// The number of the batch that takes what is appended now: it is in no earlier one.
    pub(super) const fn next_batch(&self) -> u64 {
        self.batches
    }

    /// The bytes of urgent frames that wait.
    pub(super) fn urgent_bytes(&self) -> usize {
        self.urgent.len()
    }

    pub(super) fn has_output(&self) -> bool {
        !(self.urgent.is_empty() && self.data.is_empty() && self.large.is_empty())
    }

    /// Takes what is to be written next. `spare` is an empty buffer to go on with.
    pub(super) fn take(&mut self, spare: BytesMut) -> Batch {
        self.batches += 1;
        self.appended = 0;
        let mut batch = Batch {
            bytes: spare,
            ..Batch::default()
        };
        let is_torn = std::mem::take(&mut self.is_torn);
        let owes_data = std::mem::take(&mut self.owes_data);
        if is_torn || owes_data || self.urgent.is_empty() {
            self.take_data(&mut batch);
            self.take_chunk(&mut batch);
            return batch;
        }
        batch.urgent = self.urgent.len();
        std::mem::swap(&mut batch.bytes, &mut self.urgent);
        if self.data.len() <= MERGED_BYTES {
            batch.bytes.extend_from_slice(&self.data);
            self.data.clear();
            self.take_charges(&mut batch);
            self.take_chunk(&mut batch);
        } else {
            self.owes_data = true;
        }
        batch
    }

    fn take_data(&mut self, batch: &mut Batch) {
        std::mem::swap(&mut batch.bytes, &mut self.data);
        self.take_charges(batch);
    }

    fn take_charges(&mut self, batch: &mut Batch) {
        batch.charges.append(&mut self.charges);
        batch.paid += std::mem::take(&mut self.paid);
    }

    /// Appends a chunk of the large message whose turn it is.
    fn take_chunk(&mut self, batch: &mut Batch) {
        let Some(mut message) = self.large.pop_front() else {
            return;
        };
        let chunk = message
            .bytes
            .split_to(message.bytes.len().min(MAX_BODY_BYTES));
        let frame = ChunkFrame {
            sequence: message.sequence,
            is_last: message.bytes.is_empty(),
            bytes: &chunk,
        };
        // It fails only if it is too large.
        let _ = frame.encode(&mut batch.bytes);
        match message.bytes.is_empty() {
            true => {
                batch.charges.extend(message.charge);
                self.finished.push(message.sequence);
                self.needs_attention = true;
            }
            false => self.large.push_back(message),
        }
    }

    /// The link's task falls asleep, unless there is something to do. If it wants to know when
    /// everything is written, others wake it for that.
    pub(super) fn sleep(&mut self, waker: &Waker, reports_flush: bool) -> bool {
        // Others may have written the last of it a moment ago.
        let is_flushed = reports_flush && self.written > 0;
        if self.has_output() || self.needs_attention || self.is_broken || is_flushed {
            return false;
        }
        self.reports_flush = reports_flush;
        if !self
            .sleeper
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            self.sleeper = Some(waker.clone());
        }
        true
    }

    /// The link's task is awake.
    pub(super) fn awake(&mut self) {
        self.sleeper = None;
    }

    /// The link's task has written what it took, for which this was paid: the socket is here for
    /// all.
    pub(super) fn put_back(&mut self, writer: &mut Option<W>, paid: usize) {
        self.refund(paid);
        if writer.is_some() {
            self.writer = writer.take();
        }
    }

    /// The socket, for the link's task.
    pub(super) fn take_writer(&mut self) -> Option<W> {
        self.writer.take()
    }

    /// The link's task, if it must be woken for what was appended. Wake it without the lock.
    pub(super) fn take_sleeper(&mut self) -> Option<Waker> {
        self.sleeper.take()
    }

    /// Calls the link's task for something else than frames.
    pub(super) fn call_attention(&mut self) -> Option<Waker> {
        self.needs_attention = true;
        self.take_sleeper()
    }

    pub(super) fn take_attention(&mut self) -> bool {
        std::mem::take(&mut self.needs_attention)
    }

    /// The large messages whose last chunk was taken since the last time.
    pub(super) fn take_finished(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.finished)
    }

    /// The bytes that were written since the last time.
    pub(super) fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written)
    }

    /// Frames of others are lost: nothing more can be sent.
    pub(super) fn break_off(&mut self) {
        self.is_broken = true;
    }

    /// Whether the socket has failed.
    pub(super) const fn is_broken(&self) -> bool {
        self.is_broken
    }
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    /// Something was appended, while so many requests are in flight. It is written at once if
    /// nothing else happens on the link, or if much waits. Returns the link's task if it must be
    /// woken: wake it without the lock.
    pub(super) fn appended(&mut self, in_flight: u64, is_alone: bool) -> Option<Waker> {
        self.appended += 1;
        match is_alone || self.appended >= MIN_EARLY_FRAMES.max(in_flight / EARLY_SHARE) {
            true => self.write_now(),
            false => self.take_sleeper(),
        }
    }

    /// Writes the data at once, without the link's task. Returns the task if it must be woken.
    fn write_now(&mut self) -> Option<Waker> {
        self.appended = 0;
        let is_next = self.urgent.is_empty() && self.large.is_empty() && !self.is_torn;
        // A socket that takes nothing of nothing is not broken.
        let has_some = (1..=MAX_EARLY_BYTES).contains(&self.data.len());
        let writes = is_next && has_some && !self.is_broken;
        let Some(writer) = self.writer.as_mut().filter(|_| writes) else {
            return self.take_sleeper();
        };
        // If the socket takes nothing now, the link's task, which is awake or woken, waits for it
        // in its own name.
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(writer).poll_write(&mut cx, &self.data) {
            Poll::Ready(Ok(bytes)) if bytes > 0 => {
                self.batches += 1;
                self.written += bytes as u64;
                if bytes == self.data.len() {
                    self.data = spare(std::mem::take(&mut self.data));
                    self.owes_data = false;
                    self.charges.clear();
                    let paid = std::mem::take(&mut self.paid);
                    self.refund(paid);
                    return self.sleeper.take_if(|_| self.reports_flush);
                }
                self.data.advance(bytes);
                self.is_torn = true;
            }
            Poll::Ready(_) => self.is_broken = true,
            Poll::Pending => {}
        }
        self.take_sleeper()
    }
}

/// Releases a large buffer that is empty.
pub(super) fn release_room(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > MAX_IDLE_BYTES {
        *buffer = BytesMut::new();
    }
}

/// An empty buffer to use again, from one that was written.
pub(super) fn spare(mut written: BytesMut) -> BytesMut {
    written.clear();
    match written.capacity() > MAX_KEPT_BYTES {
        true => BytesMut::new(),
        false => written,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::route::link::decoder::{Decoded, Decoder};
    use crate::route::link::frame::LinkFrame;
    use crate::route::link::side::LinkSide;

    type TestOutbox = Outbox<tokio::io::DuplexStream>;

    fn large(sequence: u64, chunks: usize) -> LargeMessage {
        LargeMessage {
            sequence,
            bytes: vec![7; chunks * MAX_BODY_BYTES].into(),
            charge: None,
        }
    }

    /// The number and the end of each chunk.
    fn chunks(batch: &Batch) -> Vec<(u64, bool)> {
        let mut decoder = Decoder::behind_hello(LinkSide::Server);
        let mut rest = &batch.bytes[..];
        let mut chunks = Vec::new();
        while let Ok(Decoded::Frame { frame, bytes }) = decoder.decode(rest) {
            if let LinkFrame::Chunk(chunk) = frame {
                chunks.push((chunk.sequence, chunk.is_last));
            }
            rest = &rest[bytes..];
        }
        assert!(rest.is_empty());
        chunks
    }

    #[test]
    fn large_messages_take_turns() {
        let mut outbox = TestOutbox::new();
        outbox.push_large(large(1, 3));
        outbox.push_large(large(2, 2));
        let taken: Vec<_> = (0..5)
            .flat_map(|_| chunks(&outbox.take(BytesMut::new())))
            .collect();
        assert_eq!(
            taken,
            [(1, false), (2, false), (1, false), (2, true), (1, true)]
        );
        assert!(!outbox.has_output());
    }

    #[test]
    fn a_large_message_beside_much_data_has_a_chunk_in_each_batch() {
        let mut outbox = TestOutbox::new();
        outbox.push_large(large(1, 3));
        for _ in 0..3 {
            outbox.data().extend_from_slice(&[0; 2 * MAX_BODY_BYTES]);
            let batch = outbox.take(BytesMut::new());
            assert!(batch.bytes.len() > 3 * MAX_BODY_BYTES);
        }
        assert!(!outbox.has_output());
    }

    #[test]
    fn data_beside_urgent_frames_that_never_end_is_in_every_second_batch() {
        let mut outbox = TestOutbox::new();
        outbox.push_large(large(1, 2));
        let mut sizes = Vec::new();
        for _ in 0..4 {
            outbox.urgent().extend_from_slice(b"urgent");
            outbox.data().extend_from_slice(&[0; MERGED_BYTES + 1]);
            let batch = outbox.take(BytesMut::new());
            sizes.push((batch.urgent, batch.bytes.len() > 2 * MERGED_BYTES));
        }
        assert_eq!(sizes, [(6, false), (0, true), (12, false), (0, true)]);
        assert!(outbox.large.is_empty());
    }

    #[test]
    fn what_is_urgent_goes_first_and_chunks_go_last() {
        let mut outbox = TestOutbox::new();
        outbox.push_large(large(1, 1));
        outbox.data().extend_from_slice(b"data");
        outbox.urgent().extend_from_slice(b"urgent");
        let batch = outbox.take(BytesMut::new());
        assert!(batch.bytes.starts_with(b"urgentdata"));
        assert!(batch.bytes.len() > MAX_BODY_BYTES);

        outbox.data().extend_from_slice(&[0; MERGED_BYTES + 1]);
        outbox.urgent().extend_from_slice(b"urgent");
        assert_eq!(outbox.take(BytesMut::new()).bytes, &b"urgent"[..]);
        assert_eq!(outbox.take(BytesMut::new()).bytes.len(), MERGED_BYTES + 1);
    }

    #[tokio::test]
    async fn one_who_sends_alone_writes_at_once_and_leaves_no_torn_frame_behind() {
        let (writer, _reader) = tokio::io::duplex(6);
        let mut outbox = Outbox::new();
        outbox.put_back(&mut Some(writer), 0);
        assert!(outbox.sleep(Waker::noop(), false));
        outbox.data().extend_from_slice(b"abcd");
        assert!(outbox.appended(1, true).is_none(), "all is written");
        outbox.data().extend_from_slice(b"efgh");
        assert!(outbox.appended(1, true).is_some(), "the rest is left");
        outbox.urgent().extend_from_slice(b"urgent");
        assert_eq!(outbox.take(BytesMut::new()).bytes, &b"gh"[..]);
        assert_eq!(outbox.take(BytesMut::new()).bytes, &b"urgent"[..]);
        assert_eq!(outbox.take_written(), 6);
        assert!(outbox.take_writer().is_some());
    }

    #[tokio::test]
    async fn a_quarter_of_what_is_in_flight_is_written_without_the_task() {
        let (writer, mut reader) = tokio::io::duplex(1024);
        let mut outbox = Outbox::new();
        outbox.put_back(&mut Some(writer), 0);
        for in_flight in [1, 64, 400] {
            let quarter = MIN_EARLY_FRAMES.max(in_flight / 4);
            for _ in 1..quarter {
                outbox.data().extend_from_slice(b"x");
                assert!(outbox.appended(in_flight, false).is_none());
                assert!(outbox.has_output(), "{in_flight}");
            }
            outbox.data().extend_from_slice(b"x");
            assert!(outbox.appended(in_flight, false).is_none());
            assert!(!outbox.has_output(), "{in_flight}");
            let mut read = vec![0; usize::try_from(quarter).unwrap()];
            reader.read_exact(&mut read).await.unwrap();
        }
    }

    #[tokio::test]
    async fn much_is_left_to_the_task_and_no_large_buffer_is_kept() {
        let (writer, _reader) = tokio::io::duplex(4 * MAX_EARLY_BYTES);
        let mut outbox = Outbox::new();
        outbox.put_back(&mut Some(writer), 0);
        outbox.data().extend_from_slice(&[0; MAX_EARLY_BYTES + 1]);
        assert!(outbox.appended(1, true).is_none());
        assert!(outbox.has_output());
        let batch = outbox.take(BytesMut::new());
        assert_eq!(batch.bytes.len(), MAX_EARLY_BYTES + 1);

        outbox.data().reserve(2 * MAX_KEPT_BYTES);
        outbox.data().extend_from_slice(b"data");
        assert!(outbox.appended(1, true).is_none());
        assert!(!outbox.has_output());
        assert!(outbox.data().capacity() <= MAX_KEPT_BYTES);
    }

    #[tokio::test]
    async fn data_that_others_have_written_is_owed_no_more() {
        let (writer, _reader) = tokio::io::duplex(4 * MERGED_BYTES);
        let mut outbox = Outbox::new();
        outbox.put_back(&mut Some(writer), 0);
        outbox.urgent().extend_from_slice(b"urgent");
        outbox.data().extend_from_slice(&[0; MERGED_BYTES + 1]);
        assert_eq!(outbox.take(BytesMut::new()).bytes, &b"urgent"[..]);
        assert!(outbox.appended(1, true).is_none());
        outbox.urgent().extend_from_slice(b"urgent");
        assert_eq!(outbox.take(BytesMut::new()).bytes, &b"urgent"[..]);
    }

    #[tokio::test]
    async fn a_task_that_waits_until_everything_is_written_does_not_sleep_if_it_is() {
        let (writer, _reader) = tokio::io::duplex(6);
        let mut outbox = Outbox::new();
        outbox.put_back(&mut Some(writer), 0);
        outbox.data().extend_from_slice(b"abcd");
        assert!(outbox.appended(1, true).is_none());
        assert!(!outbox.sleep(Waker::noop(), true));
        assert_eq!(outbox.take_written(), 4);
        assert!(outbox.sleep(Waker::noop(), true));
    }

    #[tokio::test]
    async fn a_task_that_waits_until_everything_is_written_is_woken_then() {
        let (writer, _reader) = tokio::io::duplex(6);
        let mut outbox = Outbox::new();
        outbox.put_back(&mut Some(writer), 0);
        assert!(outbox.sleep(Waker::noop(), true));
        outbox.data().extend_from_slice(b"abcd");
        assert!(outbox.appended(1, true).is_some());
        assert!(!outbox.has_output());
    }

    #[tokio::test]
    async fn one_who_has_nothing_to_write_at_once_wakes_the_task_and_breaks_nothing() {
        let (writer, _reader) = tokio::io::duplex(6);
        let mut outbox = Outbox::new();
        outbox.put_back(&mut Some(writer), 0);
        assert!(outbox.sleep(Waker::noop(), false));
        assert!(outbox.write_now().is_some());
        assert!(!outbox.is_broken());
    }

    #[test]
    fn an_idle_link_keeps_no_large_buffer() {
        let mut outbox = TestOutbox::new();
        outbox.urgent().extend_from_slice(&[0; MAX_IDLE_BYTES + 1]);
        outbox.data().extend_from_slice(&[0; MAX_IDLE_BYTES + 1]);
        // It swaps the buffers: both are kept while the link is busy.
        for _ in 0..2 {
            let batch = outbox.take(BytesMut::new());
            outbox.data = spare(batch.bytes);
        }
        assert!(outbox.data.capacity() > MAX_IDLE_BYTES);
        outbox.release_room();
        assert!(outbox.data.capacity() + outbox.urgent.capacity() <= 2 * MAX_IDLE_BYTES);
        outbox.data().extend_from_slice(&[0; MAX_IDLE_BYTES + 1]);
        outbox.release_room();
        assert_eq!(outbox.data().len(), MAX_IDLE_BYTES + 1);
    }

    #[test]
    fn the_task_does_not_sleep_while_there_is_something_to_do() {
        let mut outbox = TestOutbox::new();
        outbox.data().extend_from_slice(b"data");
        assert!(!outbox.sleep(Waker::noop(), false));
        outbox.take(BytesMut::new());
        assert!(outbox.sleep(Waker::noop(), false));
        assert!(outbox.call_attention().is_some());
        assert!(!outbox.sleep(Waker::noop(), false));
        assert!(outbox.take_attention() && !outbox.take_attention());
    }
}
