//! The requests of a link that may be unanswered, in the order of their numbers. Pure.

use std::collections::VecDeque;

use crate::environment::Deadline;
use crate::route::budget::Charge;
use crate::route::request_source::RequestKey;

/// The requests that were read and are not known to be answered. Only the link's task uses it. An
/// actor that answers a request does not, so the entries of answered requests are removed later, by
/// [`sweep`](Self::sweep).
#[derive(Debug)]
pub(super) struct RequestLog<P> {
    entries: VecDeque<LoggedRequest<P>>,
}

/// A request that was read.
#[derive(Debug)]
pub(super) struct LoggedRequest<P> {
    pub(super) key: RequestKey,
    /// Its place in a queue; `None` while its message arrives.
    pub(super) place: Option<P>,
    /// The room for its head until it is answered, if that is large.
    #[allow(dead_code)] // held for its drop
    pub(super) head: Option<Charge>,
}

/// The entries that have left a log.
#[derive(Debug)]
pub(super) struct Swept<P> {
    pub(super) answered: Vec<LoggedRequest<P>>,
    pub(super) expired: Vec<LoggedRequest<P>>,
}

impl<P> RequestLog<P> {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a request with a number greater than all before.
    pub(super) fn push(&mut self, request: LoggedRequest<P>) {
        self.entries.push_back(request);
    }

    pub(super) fn find(&mut self, sequence: u64) -> Option<&mut LoggedRequest<P>> {
        let entries = &mut self.entries;
        let place = entries.binary_search_by_key(&sequence, |entry| entry.key.sequence);
        entries.get_mut(place.ok()?)
    }

    /// Takes all places in queues.
    pub(super) fn take_places(&mut self) -> impl Iterator<Item = (RequestKey, P)> {
        let entries = self.entries.iter_mut();
        entries.filter_map(|entry| Some((entry.key, entry.place.take()?)))
    }

    /// Removes the requests that are answered, and those whose deadline has passed.
    pub(super) fn sweep(
        &mut self,
        now: Deadline,
        is_open: impl Fn(RequestKey) -> bool,
    ) -> Swept<P> {
        let mut swept = Swept {
            answered: Vec::new(),
            expired: Vec::new(),
        };
        for _ in 0..self.entries.len() {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            if !is_open(entry.key) {
                swept.answered.push(entry);
            } else if entry.key.deadline <= now {
                swept.expired.push(entry);
            } else {
                self.entries.push_back(entry);
            }
        }
        swept
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::route::slab::Slab;

    #[tokio::test(start_paused = true)]
    async fn a_sweep_takes_what_is_answered_or_over_and_keeps_the_order() {
        let now = Deadline::after(Duration::ZERO);
        let mut slab = Slab::new();
        let mut log = RequestLog::new();
        for sequence in 1..=6 {
            let key = RequestKey {
                place: slab.insert(()),
                sequence: 10 * sequence,
                deadline: now.later(Duration::from_secs(sequence)),
            };
            log.push(LoggedRequest {
                key,
                place: Some(sequence),
                head: None,
            });
        }
        let key = log.find(40).unwrap().key;
        slab.remove(key.place);
        let swept = log.sweep(now.later(Duration::from_secs(2)), |key| {
            slab.get(key.place).is_some()
        });
        let numbers = |entries: &[LoggedRequest<u64>]| -> Vec<u64> {
            entries.iter().map(|entry| entry.key.sequence).collect()
        };
        assert_eq!(numbers(&swept.answered), [40]);
        assert_eq!(numbers(&swept.expired), [10, 20]);
        assert_eq!(log.len(), 3);
        assert!(log.find(40).is_none());
        assert_eq!(log.find(50).and_then(|entry| entry.place), Some(5));
        assert!(log.find(30).is_some() && log.find(60).is_some());
    }
}
