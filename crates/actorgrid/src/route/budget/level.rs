//! One limit of a budget, and its use.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// One limit and its use. Reserving takes no lock and never exceeds the limit.
#[derive(Debug)]
pub(super) struct Level {
    limit: usize,
    used: AtomicUsize,
    /// The part of the use that belongs to arriving messages: it is freed or becomes queued without
    /// anybody's help.
    arriving: AtomicUsize,
    /// The number of queued messages that have left.
    departures: AtomicU64,
    /// Whether a message may be waiting for room at this level.
    holds_back: AtomicBool,
}

impl Level {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            arriving: AtomicUsize::new(0),
            departures: AtomicU64::new(0),
            holds_back: AtomicBool::new(false),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Reserves bytes if at most `limit` are used afterwards. No observer ever sees more than that.
    pub(super) fn reserve(&self, bytes: usize, limit: usize) -> bool {
        let reserve = |used: usize| Some(used.checked_add(bytes)?).filter(|used| *used <= limit);
        self.used
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, reserve)
            .is_ok()
    }

    /// Notes that a message may be waiting: the next [`release`](Self::release) reports it.
    pub(super) fn hold_back(&self) {
        self.holds_back.store(true, Ordering::SeqCst);
    }

    /// Undoes a reservation that failed at another level.
    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Releases bytes. Returns whether a message may be waiting for room at this level.
    pub(super) fn release(&self, bytes: usize) -> bool {
        let before = self.used.fetch_sub(bytes, Ordering::SeqCst);
        debug_assert!(before >= bytes, "more is released than was reserved");
        self.holds_back.load(Ordering::SeqCst) && self.holds_back.swap(false, Ordering::SeqCst)
    }

    /// Counts a queued message that has left.
    pub(super) fn depart(&self) {
        self.departures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn departures(&self) -> u64 {
        self.departures.load(Ordering::Relaxed)
    }

    /// Marks reserved bytes as those of a message that is still arriving.
    pub(super) fn begin_arriving(&self, bytes: usize) {
        self.arriving.fetch_add(bytes, Ordering::SeqCst);
    }

    pub(super) fn end_arriving(&self, bytes: usize) {
        self.arriving.fetch_sub(bytes, Ordering::SeqCst);
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    pub(super) fn arriving(&self) -> usize {
        self.arriving.load(Ordering::SeqCst)
    }

    /// Returns the bytes of queued messages.
    pub(super) fn queued(&self) -> usize {
        // The two are not read at the same instant, so the difference can be off for a moment.
        self.used().saturating_sub(self.arriving())
    }
}
