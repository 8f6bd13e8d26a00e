//! The credit of requests that have left their queues, until it is returned to the client.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// When this share of all credit (an eighth) is free, it is returned at once. Less than that waits
/// for the next sweep, so that one frame returns the credit of many requests.
const SHARE: u32 = 8;

/// Of the packed counts, the lower bits are bytes: up to a tebibyte. The upper ones are requests:
/// up to 16 million. No link has as much credit.
const BYTES_BITS: u32 = 40;

/// Credit that is free again. Requests leave their queues on any thread, so it takes no lock.
#[derive(Debug)]
pub(super) struct ReturnedCredit {
    /// Requests and bytes, packed: one atomic operation adds both.
    free: AtomicU64,
    many_requests: u32,
    many_bytes: u64,
    /// Whether the link's task was notified of it.
    is_called: AtomicBool,
}

impl ReturnedCredit {
    /// Creates it for a link with this much credit in total.
    pub(super) fn new(requests: u32, bytes: u64) -> Self {
        debug_assert!(requests < 1 << (u64::BITS - BYTES_BITS) && bytes < 1 << BYTES_BITS);
        Self {
            free: AtomicU64::new(0),
            many_requests: (requests / SHARE).max(1),
            many_bytes: (bytes / u64::from(SHARE)).max(1),
            is_called: AtomicBool::new(false),
        }
    }

    /// The credit of one request is free. Returns whether the link's task is to be called, as the
    /// client may wait for it.
    pub(super) fn add(&self, bytes: u32) -> bool {
        let added = (1 << BYTES_BITS) + u64::from(bytes);
        let (requests, bytes) = unpack(self.free.fetch_add(added, Ordering::AcqRel) + added);
        self.is_much_of(requests, bytes) && !self.is_called.swap(true, Ordering::AcqRel)
    }

    /// For the link's task: whether so much is free that the client should have it at once. From
    /// now on it is called again, also if another look has taken what it was called for.
    pub(super) fn look(&self) -> bool {
        if self.is_called.load(Ordering::Relaxed) {
            // Credit that was added before the call is seen below.
            self.is_called.swap(false, Ordering::AcqRel);
        }
        let (requests, bytes) = self.free();
        self.is_much_of(requests, bytes)
    }

    /// Whether so much is worth a frame of its own.
    pub(super) const fn is_much_of(&self, requests: u32, bytes: u64) -> bool {
        requests >= self.many_requests || bytes >= self.many_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free().0 == 0
    }

    /// Takes the credit that is free: requests and bytes.
    pub(super) fn take(&self) -> (u32, u64) {
        if self.is_called.load(Ordering::Relaxed) {
            self.is_called.swap(false, Ordering::AcqRel);
        }
        match self.free.load(Ordering::Relaxed) {
            0 => (0, 0),
            _ => unpack(self.free.swap(0, Ordering::AcqRel)),
        }
    }

    fn free(&self) -> (u32, u64) {
        unpack(self.free.load(Ordering::Acquire))
    }
}

/// The requests and the bytes of packed counts.
fn unpack(free: u64) -> (u32, u64) {
    let requests = free >> BYTES_BITS;
    let bytes = free & ((1 << BYTES_BITS) - 1);
    (u32::try_from(requests).unwrap_or(u32::MAX), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_is_called_once_when_much_is_free() {
        let returned = ReturnedCredit::new(32, 8000);
        let calls: Vec<_> = (0..6).map(|_| returned.add(10)).collect();
        assert_eq!(calls, [false, false, false, true, false, false]);
        assert_eq!(returned.take(), (6, 60));
        assert!(returned.is_empty() && !returned.look());
        assert_eq!(returned.take(), (0, 0));
        assert!(returned.add(1000), "many bytes count as well");
    }

    #[test]
    fn a_call_for_what_was_taken_meanwhile_is_not_the_last() {
        let returned = ReturnedCredit::new(8, 8000);
        // Between the two steps of what follows.
        assert!(returned.add(10));
        let _ = returned.take();
        returned.is_called.store(true, Ordering::Release);
        assert!(!returned.look(), "there is nothing to return");
        assert!(returned.add(10), "and the next one calls again");
    }
}
