//! Decides how large the turns of busy connections are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of busy connections up to which each has a full turn.
const FULL_TURNS: usize = 4;
/// The smallest turn, for which the system calls of a turn are still a small part of its cost.
const SMALLEST: TurnSize = TurnSize {
    bytes: 8 * 1024,
    requests: 4,
};

/// The amount that a connection may do in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TurnSize {
    /// The bytes that are read.
    pub(super) bytes: usize,
    /// The requests that begin. As many may end.
    pub(super) requests: u32,
}

/// The connections of a peer that have more to read than a turn allows. Cheap to clone.
///
/// A request waits for a turn of each of them more than once on its way, so the more there are, the
/// smaller the turns.
#[derive(Debug, Clone, Default)]
pub(super) struct BusyConnections(Arc<AtomicUsize>);

/// One connection among them, while it is busy. It counts until it is dropped.
#[derive(Debug)]
pub(super) struct BusyPlace {
    all: BusyConnections,
    is_busy: bool,
}

impl TurnSize {
    /// After it, the requests that it brought are served, and then other connections: the amount of
    /// data that is read but not yet processed stays small.
    pub(super) const FULL: Self = Self {
        bytes: 64 * 1024,
        requests: 32,
    };

    /// Whether it is smaller than a full one, because many connections are busy.
    pub(super) fn is_reduced(self) -> bool {
        self.requests < Self::FULL.requests
    }

    /// Returns the turn of each of this many busy connections. Pure.
    pub(super) fn among(busy: usize) -> Self {
        let share = busy.max(FULL_TURNS);
        let requests = u32::try_from(share).map_or(0, |share| 4 * Self::FULL.requests / share);
        Self {
            bytes: (FULL_TURNS * Self::FULL.bytes / share).max(SMALLEST.bytes),
            requests: requests.max(SMALLEST.requests),
        }
    }
}

impl BusyConnections {
    /// Returns the place of one more connection, which is not busy yet.
    pub(super) fn place(&self) -> BusyPlace {
        BusyPlace {
            all: self.clone(),
            is_busy: false,
        }
    }
}

impl BusyPlace {
    /// Notes whether the connection had more to do than its last turn allowed.
    pub(super) fn set(&mut self, is_busy: bool) {
        if is_busy == self.is_busy {
            return;
        }
        self.is_busy = is_busy;
        match is_busy {
            true => self.all.0.fetch_add(1, Ordering::Relaxed),
            false => self.all.0.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// Returns the size of its next turn.
    pub(super) fn turn(&self) -> TurnSize {
        TurnSize::among(self.all.0.load(Ordering::Relaxed))
    }
}

impl Drop for BusyPlace {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_shrink_with_the_number_of_busy_connections() {
        for few in 0..=4 {
            assert_eq!(TurnSize::among(few), TurnSize::FULL);
        }
        let sixteen = TurnSize {
            bytes: 16 * 1024,
            requests: 8,
        };
        assert_eq!(TurnSize::among(16), sixteen);
        assert_eq!(TurnSize::among(4_096), SMALLEST);
    }

    #[test]
    fn a_connection_counts_while_it_is_busy() {
        let all = BusyConnections::default();
        let mut places: Vec<_> = (0..16).map(|_| all.place()).collect();
        for place in &mut places {
            place.set(true);
            place.set(true);
        }
        assert_eq!(all.place().turn().requests, 8);
        for place in &mut places[..8] {
            place.set(false);
        }
        assert_eq!(all.place().turn().requests, 16);
        drop(places);
        assert_eq!(all.place().turn(), TurnSize::FULL);
    }
}
