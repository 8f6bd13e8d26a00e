//! The credit of requests that have left their queues, until it is returned to the client.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// When this share of all credit (an eighth) is free, it is returned at once. Less than that waits
/// for the next sweep, so that one frame returns the credit of many requests.
const SHARE: u32 = 8;

/// Credit that is free again. Requests leave their queues on any thread, so it takes no lock.
#[derive(Debug)]
pub(super) struct ReturnedCredit {
    requests: AtomicU32,
    bytes: AtomicU64,
    many_requests: u32,
    many_bytes: u64,
    /// Whether the link's task was notified of it.
    is_called: AtomicBool,
}

impl ReturnedCredit {
    /// Creates it for a link with this much credit in total.
    pub(super) fn new(requests: u32, bytes: u64) -> Self {
        Self {
            requests: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            many_requests: (requests / SHARE).max(1),
            many_bytes: (bytes / u64::from(SHARE)).max(1),
            is_called: AtomicBool::new(false),
        }
    }

    /// The credit of one request is free. Returns whether the link's task is to be called, as the
    /// client may wait for it.
    pub(super) fn add(&self, bytes: u32) -> bool {
        self.bytes.fetch_add(bytes.into(), Ordering::AcqRel);
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.is_much() && !self.is_called.swap(true, Ordering::AcqRel)
    }

    /// For the link's task: whether so much is free that the client should have it at once. From
    /// now on it is called again, also if another look has taken what it was called for.
    pub(super) fn look(&self) -> bool {
        if self.is_called.load(Ordering::Relaxed) {
            // Credit that was added before the call is seen below.
            self.is_called.swap(false, Ordering::AcqRel);
        }
        self.is_much()
    }

    fn is_much(&self) -> bool {
        let requests = self.requests.load(Ordering::Acquire);
        self.is_much_of(requests, self.bytes.load(Ordering::Acquire))
    }

    /// Whether so much is worth a frame of its own.
    pub(super) const fn is_much_of(&self, requests: u32, bytes: u64) -> bool {
        requests >= self.many_requests || bytes >= self.many_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.load(Ordering::Acquire) == 0
    }

    /// Takes the credit that is free: requests and bytes.
    pub(super) fn take(&self) -> (u32, u64) {
        self.is_called.swap(false, Ordering::AcqRel);
        // In this order: bytes without their request go back with the next ones.
        let requests = self.requests.swap(0, Ordering::AcqRel);
        match requests {
            0 => (0, 0),
            requests => (requests, self.bytes.swap(0, Ordering::AcqRel)),
        }
    }
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
        assert!(returned.is_empty() && !returned.is_much());
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
