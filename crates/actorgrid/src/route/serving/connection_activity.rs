//! The activity of an accepted connection, for everything that watches it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::environment::Timestamp;

/// The activity of a connection. Its socket, its driver and the accept loop share it. Only the
/// eviction of connections depends on how fresh it is.
#[derive(Debug)]
pub(in crate::route) struct ConnectionActivity {
    greeted: AtomicBool,
    streams: AtomicUsize,
    /// When it was accepted, or when its last stream ended.
    idle_since: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    /// Whether bytes wait until the client reads.
    write_blocked: AtomicBool,
    /// The number of responses since the last complete flush.
    responses: AtomicUsize,
}

/// Why a connection may be closed to make room, the better reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::route) enum Disuse {
    /// It has not completed its greeting since it was accepted, at this time.
    Silent(Timestamp),
    /// It has had no stream, and a link no request, since this time.
    Idle(Timestamp),
}

impl ConnectionActivity {
    pub(in crate::route) fn new(now: Timestamp) -> Self {
        Self {
            greeted: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            idle_since: AtomicU64::new(now.as_nanos()),
            bytes_read: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            write_blocked: AtomicBool::new(false),
            responses: AtomicUsize::new(0),
        }
    }

    pub(in crate::route) fn greet(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    pub(in crate::route) fn has_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    pub(in crate::route) fn set_streams(&self, streams: usize) {
        self.streams.store(streams, Ordering::Relaxed);
    }

    pub(in crate::route) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    pub(in crate::route) fn idle_from(&self, now: Timestamp) {
        self.idle_since.store(now.as_nanos(), Ordering::Relaxed);
    }

    pub(in crate::route) fn disuse(&self) -> Option<Disuse> {
        let since = Timestamp::from_nanos(self.idle_since.load(Ordering::Relaxed));
        match (self.has_greeted(), self.streams()) {
            (false, _) => Some(Disuse::Silent(since)),
            (true, 0) => Some(Disuse::Idle(since)),
            (true, _) => None,
        }
    }

    pub(in crate::route) fn note_read(&self, bytes: usize) {
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(in crate::route) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    pub(in crate::route) fn note_written(&self, bytes: usize) {
        self.bytes_written
            .fetch_add(bytes as u64, Ordering::Relaxed);
        self.write_blocked.store(false, Ordering::Relaxed);
    }

    pub(in crate::route) fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Ordering::Relaxed)
    }

    pub(in crate::route) fn block_write(&self) {
        self.write_blocked.store(true, Ordering::Relaxed);
    }

    /// Counts a response on its way to the socket.
    pub(in crate::route) fn note_response(&self) {
        self.responses.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a complete flush: everything that could be written has been written.
    pub(in crate::route) fn note_flush(&self) {
        self.responses.store(0, Ordering::Relaxed);
    }

    /// Returns the number of responses that may not be written yet.
    pub(in crate::route) fn unwritten_responses(&self) -> usize {
        self.responses.load(Ordering::Relaxed)
    }

    pub(in crate::route) fn is_write_blocked(&self) -> bool {
        self.write_blocked.load(Ordering::Relaxed)
    }
}
