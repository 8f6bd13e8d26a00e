//! A counter for statistics.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows. No decision depends on it, so relaxed ordering is enough.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
