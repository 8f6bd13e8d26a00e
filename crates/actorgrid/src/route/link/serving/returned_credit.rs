//! The credit of requests that are queued no more, until the client has it back.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The share of all credit that goes back at once. Less goes back a little later, so that a frame
/// returns the credit of many requests.
const SHARE: u32 = 8;

/// Credit that is free again. Requests leave their queues on any thread, so it takes no lock.
#[derive(Debug)]
pub(super) struct ReturnedCredit {
    requests: AtomicU32,
    bytes: AtomicU64,
    many_requests: u32,
    many_bytes: u64,
    /// Whether the link's task was called for it.
    is_called: AtomicBool,
}

impl ReturnedCredit {
    /// For a link with so much credit in all.
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
    pub(super) fn add(&self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.is_much() && !self.is_called.swap(true, Ordering::AcqRel)
    }

    /// Whether so much is free that the client should have it at once.
    pub(super) fn is_much(&self) -> bool {
        self.requests.load(Ordering::Acquire) >= self.many_requests
            || self.bytes.load(Ordering::Acquire) >= self.many_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.load(Ordering::Acquire) == 0
    }

    /// Takes what is free: requests and bytes.
    pub(super) fn take(&self) -> (u32, u64) {
        self.is_called.store(false, Ordering::Release);
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
}
