//! Counts events on the wire port of a peer.

use crate::counter::Counter;

/// Counts the connections of a [`ProcessServer`](super::ProcessServer), and the effects of its
/// bounds.
#[derive(Debug, Default)]
pub(crate) struct ServingCounters {
    /// Connections that were accepted and served.
    pub(crate) taken: Counter,
    pub(crate) ended: Counter,
    /// Connections that were closed at once because there was no room.
    pub(crate) refused: Counter,
    /// Connections that were closed to make room.
    pub(crate) evicted: Counter,
    /// Connections that were closed because their clients had gone silent, or did not read.
    pub(crate) dead: Counter,
    /// Connections that were closed because control frames arrived too fast for too long.
    pub(crate) over_pace: Counter,
    /// Requests that were abandoned because they arrived too slowly.
    pub(crate) slow: Counter,
    /// Requests that were rejected because there was no room for their bytes.
    pub(crate) no_room: Counter,
    /// Replies that their clients did not receive in time.
    pub(crate) replies_not_taken: Counter,
}

impl ServingCounters {
    /// Returns the number of connections that are open.
    pub(in crate::route) fn open(&self) -> u64 {
        self.taken.get().saturating_sub(self.ended.get())
    }
}
