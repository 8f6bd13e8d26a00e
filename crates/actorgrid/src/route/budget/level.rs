//! One limit of a budget, and what is used of it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// One limit and its use. Reserving never takes a lock and never exceeds the limit.
#[derive(Debug)]
pub(super) struct Level {
    limit: usize,
    used: AtomicUsize,
    /// The part of it that arriving messages hold: they free it, or are queued, without help.
    arriving: AtomicUsize,
    /// How often a queued message has left.
    departures: AtomicU64,
    /// Whether somebody may wait for room at this level.
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

    /// Reserves bytes if no more than `limit` are used then. Nobody sees more than that for a moment.
    pub(super) fn reserve(&self, bytes: usize, limit: usize) -> bool {
        let reserve = |used: usize| Some(used.checked_add(bytes)?).filter(|used| *used <= limit);
        self.used
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, reserve)
            .is_ok()
    }

    /// Somebody may wait from now on: the next [`release`](Self::release) says so.
    pub(super) fn hold_back(&self) {
        self.holds_back.store(true, Ordering::SeqCst);
    }

    /// Takes a reservation back that was of no use at other levels.
    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Returns whether somebody may wait for room at this level.
    pub(super) fn release(&self, bytes: usize) -> bool {
        let before = self.used.fetch_sub(bytes, Ordering::SeqCst);
        debug_assert!(before >= bytes, "more is released than was reserved");
        self.holds_back.load(Ordering::SeqCst) && self.holds_back.swap(false, Ordering::SeqCst)
    }

    /// A queued message has left.
    pub(super) fn depart(&self) {
        self.departures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn departures(&self) -> u64 {
        self.departures.load(Ordering::Relaxed)
    }

    /// Some reserved bytes belong to a message that is still arriving.
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

    /// The bytes of messages that are queued.
    pub(super) fn queued(&self) -> usize {
        // Read one after the other, so the difference can be off for a moment.
        self.used().saturating_sub(self.arriving())
    }
}
