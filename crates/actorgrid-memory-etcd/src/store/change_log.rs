//! The changes that watches read.

use std::collections::VecDeque;

use crate::wire::Event;
use crate::wire::event::EventType;

/// The changes of the revisions that are not compacted, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct ChangeLog(VecDeque<Event>);

impl ChangeLog {
    pub(super) fn push(&mut self, event: Event) {
        self.0.push_back(event);
    }

    /// Returns the changes from a revision on.
    pub(super) fn from(&self, revision: i64) -> impl Iterator<Item = &Event> {
        let start = self
            .0
            .partition_point(|event| revision_of(event) < revision);
        self.0.range(start..)
    }

    /// Removes the changes before a revision, and returns them.
    pub(super) fn remove_before(&mut self, revision: i64) -> impl Iterator<Item = Event> {
        let end = self
            .0
            .partition_point(|event| revision_of(event) < revision);
        self.0.drain(..end)
    }

    /// Returns the oldest revision to keep, so that `count` changes and the rest of its revision
    /// are kept.
    pub(super) fn newest(&self, count: usize) -> Option<i64> {
        let first = self.0.len().checked_sub(count)?;
        self.0.get(first).map(revision_of)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns the revision of a change.
pub(crate) fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

/// Whether a change created its key.
pub(crate) fn is_creation(event: &Event) -> bool {
    let created = event.kv.as_ref().map_or(0, |kv| kv.create_revision);
    event.r#type == i32::from(EventType::Put) && created == revision_of(event)
}
