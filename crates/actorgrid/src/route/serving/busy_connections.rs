//! Decides how large the turns of busy connections are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of busy connections up to which each has a full turn.
const FULL_TURNS: usize = 4;
/// The smallest turn. In a smaller one, system calls would no longer be a small part of the cost.
const SMALLEST: TurnSize = TurnSize {
    bytes: 8 * 1024,
    requests: 4,
};

/// How much a connection may do in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::route) struct TurnSize {
    /// The number of bytes to read.
    pub(in crate::route) bytes: usize,
    /// The number of requests that may begin. As many may end.
    pub(in crate::route) requests: u32,
}

/// The number of connections of a peer that have more to do than one turn allows. Cheap to clone.
///
/// Before a request is answered, it has to wait more than once for a turn of each of them. The more
/// there are, the smaller the turns, to limit this wait.
#[derive(Debug, Clone, Default)]
pub(in crate::route) struct BusyConnections(Arc<AtomicUsize>);

/// One connection of the peer. It is counted while it is busy, until its place is dropped.
#[derive(Debug)]
pub(in crate::route) struct BusyPlace {
    all: BusyConnections,
    is_busy: bool,
}

impl TurnSize {
    /// A full turn. After a turn, the requests that were read in it are served, and then other
    /// connections have their turns: little data is read and not yet processed at any time.
    pub(super) const FULL: Self = Self {
        bytes: 64 * 1024,
        requests: 32,
    };

    /// Whether the turn is smaller than a full one, because many connections are busy.
    pub(in crate::route) const fn is_reduced(self) -> bool {
        self.requests < Self::FULL.requests
    }

    /// Returns the size of a turn while this many connections are busy. Pure.
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
    pub(in crate::route) fn place(&self) -> BusyPlace {
        BusyPlace {
            all: self.clone(),
            is_busy: false,
        }
    }
}

impl BusyPlace {
    /// Notes whether the connection had more to do than its last turn allowed.
    pub(in crate::route) fn set(&mut self, is_busy: bool) {
        if is_busy == self.is_busy {
            return;
        }
        self.is_busy = is_busy;
        match is_busy {
            true => self.all.0.fetch_add(1, Ordering::Relaxed),
            false => self.all.0.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// Returns the size of the connection's next turn.
    pub(in crate::route) fn turn(&self) -> TurnSize {
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
