//! Replies that wait until their client returns credit. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::environment::Deadline;

/// A reply that can wait.
pub(super) trait WaitingReply {
    /// The number of its request.
    fn sequence(&self) -> u64;

    /// Not taken by then, it is given up.
    fn until(&self) -> Deadline;
}

/// Replies in their order. A client may let more than a hundred thousand of them wait, and cancel
/// each, so none is searched for.
#[derive(Debug)]
pub(super) struct WaitingReplies<R> {
    /// By the order in which they began to wait.
    replies: BTreeMap<u64, R>,
    /// Their places, by the numbers of their requests.
    places: BTreeMap<u64, u64>,
    /// Their places, by the time until which they wait.
    times: BTreeSet<(Deadline, u64)>,
    next: u64,
}

impl<R: WaitingReply> WaitingReplies<R> {
    pub(super) const fn new() -> Self {
        Self {
            replies: BTreeMap::new(),
            places: BTreeMap::new(),
            times: BTreeSet::new(),
            next: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    pub(super) fn push_back(&mut self, reply: R) {
        let place = self.next;
        self.next += 1;
        self.places.insert(reply.sequence(), place);
        self.times.insert((reply.until(), place));
        self.replies.insert(place, reply);
    }

    pub(super) fn front(&self) -> Option<&R> {
        self.replies.first_key_value().map(|(_, reply)| reply)
    }

    pub(super) fn pop_front(&mut self) -> Option<R> {
        let place = *self.replies.first_key_value()?.0;
        self.take(place)
    }

    /// Takes the reply to this request.
    pub(super) fn remove(&mut self, sequence: u64) -> Option<R> {
        let place = *self.places.get(&sequence)?;
        self.take(place)
    }

    /// Takes those whose time is over.
    pub(super) fn take_expired(&mut self, now: Deadline) -> Vec<R> {
        let mut expired = Vec::new();
        while let Some((until, place)) = self.times.first().copied()
            && until <= now
        {
            expired.extend(self.take(place));
        }
        expired
    }

    fn take(&mut self, place: u64) -> Option<R> {
        let reply = self.replies.remove(&place)?;
        self.places.remove(&reply.sequence());
        self.times.remove(&(reply.until(), place));
        Some(reply)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Reply(u64, Deadline);

    impl WaitingReply for Reply {
        fn sequence(&self) -> u64 {
            self.0
        }

        fn until(&self) -> Deadline {
            self.1
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_the_order_and_finds_each_reply() {
        let now = Deadline::after(Duration::ZERO);
        let at = |seconds| now.later(Duration::from_secs(seconds));
        let mut waiting = WaitingReplies::new();
        for (sequence, seconds) in [(5, 3), (2, 1), (9, 2), (4, 1), (1, 9)] {
            waiting.push_back(Reply(sequence, at(seconds)));
        }
        assert_eq!(waiting.remove(9), Some(Reply(9, at(2))));
        assert_eq!(waiting.remove(9), None);
        let expired = waiting.take_expired(at(1));
        assert_eq!(expired, [Reply(2, at(1)), Reply(4, at(1))]);
        assert!(waiting.take_expired(at(2)).is_empty());
        assert_eq!(waiting.front(), Some(&Reply(5, at(3))));
        assert_eq!(waiting.pop_front(), Some(Reply(5, at(3))));
        assert_eq!(waiting.pop_front(), Some(Reply(1, at(9))));
        assert!(waiting.is_empty() && waiting.pop_front().is_none());
        assert!(waiting.places.is_empty() && waiting.times.is_empty());
    }
}
