//! Who waits for a ticket, and who is next. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// The order in which the messages of all connections wait.
///
/// Each connection has a line of its own, first come, first served. Of the lines, the one whose
/// first has waited longest goes first. A line that a limit of its own holds back does not hold
/// back the others; once the limit of the peer is reached, nobody behind overtakes.
#[derive(Debug)]
pub(super) struct TicketQueue<C, W> {
    lines: HashMap<C, VecDeque<Waiting<W>>>,
    /// The first of each line, by its arrival.
    firsts: BTreeMap<u64, C>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiting<W> {
    arrival: u64,
    waiter: W,
}

/// Whether the first of a line gets its ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The bytes are reserved for it.
    Granted,
    /// A limit of its connection or its source is reached.
    LineWaits,
    /// The limit of the peer is reached.
    AllWait,
}

impl<C: Eq + Hash + Copy, W> TicketQueue<C, W> {
    pub(super) fn new() -> Self {
        Self {
            lines: HashMap::new(),
            firsts: BTreeMap::new(),
            arrivals: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// Whether another connection than this one has a line.
    pub(super) fn has_others(&self, connection: C) -> bool {
        let own = usize::from(self.lines.contains_key(&connection));
        self.lines.len() > own
    }

    /// Adds one to the end of its line. The number names it.
    pub(super) fn push(&mut self, connection: C, waiter: W) -> u64 {
        self.arrivals += 1;
        let arrival = self.arrivals;
        let line = self.lines.entry(connection).or_default();
        if line.is_empty() {
            self.firsts.insert(arrival, connection);
        }
        line.push_back(Waiting { arrival, waiter });
        arrival
    }

    /// Removes one that does not wait any more, if it is still there.
    pub(super) fn remove(&mut self, connection: C, arrival: u64) -> Option<W> {
        let line = self.lines.get_mut(&connection)?;
        let place = line
            .binary_search_by_key(&arrival, |waiting| waiting.arrival)
            .ok()?;
        let removed = line.remove(place)?;
        if place == 0 {
            self.firsts.remove(&arrival);
            self.next_of(connection);
        }
        Some(removed.waiter)
    }

    /// Takes everyone out who gets a ticket now, in order.
    pub(super) fn decide(&mut self, mut judge: impl FnMut(&W) -> Verdict) -> Vec<W> {
        let mut granted = Vec::new();
        let mut from = 0;
        while let Some((&arrival, &connection)) = self.firsts.range(from..).next() {
            let line = self.lines.get_mut(&connection);
            let Some(first) = line.and_then(|line| line.front()) else {
                // Cannot be: a line that is empty has no first.
                self.firsts.remove(&arrival);
                continue;
            };
            match judge(&first.waiter) {
                Verdict::AllWait => break,
                Verdict::LineWaits => from = arrival + 1,
                Verdict::Granted => granted.extend(self.remove(connection, arrival)),
            }
        }
        granted
    }

    /// The first of a line has left: the next is the first now.
    fn next_of(&mut self, connection: C) {
        match self.lines.get(&connection).and_then(|line| line.front()) {
            Some(next) => drop(self.firsts.insert(next.arrival, connection)),
            None => drop(self.lines.remove(&connection)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection, the bytes of its message, and the message's number.
    type Message = (char, usize, u32);

    fn queue(waiting: &[Message]) -> TicketQueue<char, Message> {
        let mut queue = TicketQueue::new();
        for message in waiting {
            queue.push(message.0, *message);
        }
        queue
    }

    fn numbers(granted: Vec<Message>) -> Vec<u32> {
        granted.into_iter().map(|(_, _, number)| number).collect()
    }

    /// Grants while there is room, in the peer and in each connection.
    fn within(
        mut peer: usize,
        mut connections: Vec<(char, usize)>,
    ) -> impl FnMut(&Message) -> Verdict {
        move |(connection, bytes, _)| {
            let (_, room) = connections
                .iter_mut()
                .find(|(c, _)| c == connection)
                .unwrap();
            if bytes > room {
                return Verdict::LineWaits;
            }
            if *bytes > peer {
                return Verdict::AllWait;
            }
            *room -= bytes;
            peer -= bytes;
            Verdict::Granted
        }
    }

    #[test]
    fn the_one_that_has_waited_longest_goes_first() {
        let mut queue = queue(&[('a', 1, 1), ('b', 1, 2), ('a', 1, 3)]);
        let decided = numbers(queue.decide(within(2, vec![('a', 9), ('b', 9)])));
        assert_eq!(decided, [1, 2]);
        assert!(!queue.is_empty());
        let decided = numbers(queue.decide(within(2, vec![('a', 9)])));
        assert_eq!(decided, [3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_connection_at_its_limit_holds_nobody_else_back() {
        let mut queue = queue(&[('a', 5, 1), ('a', 1, 2), ('b', 5, 3)]);
        // The small one of the same connection does not overtake.
        let decided = numbers(queue.decide(within(9, vec![('a', 4), ('b', 9)])));
        assert_eq!(decided, [3]);
        assert!(!queue.is_empty());
    }

    #[test]
    fn nobody_overtakes_one_that_waits_for_the_peer() {
        let mut queue = queue(&[('a', 5, 1), ('b', 1, 2)]);
        let decided = numbers(queue.decide(within(4, vec![('a', 9), ('b', 9)])));
        assert!(decided.is_empty());
    }

    #[test]
    fn one_that_gives_up_leaves_its_place() {
        let mut queue = queue(&[('a', 1, 1)]);
        let second = queue.push('a', ('a', 1, 2));
        queue.push('a', ('a', 1, 3));
        assert!(queue.has_others('b') && !queue.has_others('a'));
        assert_eq!(queue.remove('a', second), Some(('a', 1, 2)));
        assert_eq!(queue.remove('a', second), None);
        let decided = numbers(queue.decide(within(9, vec![('a', 9)])));
        assert_eq!(decided, [1, 3]);
    }
}
