//! Which messages wait for a ticket, and which is next. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::hash::Hash;

/// The order in which the messages of all connections wait.
///
/// Each connection has its own line, first come, first served. The line whose source holds least
/// goes first; among sources that hold the same, the line whose first message has waited longest.
/// So no matter how many tickets others hold and wait for, a source that holds none is next. A line
/// that is held back by its own limit does not hold back the others; once the limit of the peer is
/// reached, no message behind overtakes.
#[derive(Debug)]
pub(super) struct TicketQueue<C, W> {
    lines: HashMap<C, VecDeque<Waiting<W>>>,
    /// The connection of the first message in each line, by that message's arrival.
    firsts: BTreeMap<u64, C>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiting<W> {
    arrival: u64,
    waiter: W,
}

/// Reversed, because the heap pops the greatest and the least must come first.
type LineRank<C> = Reverse<(usize, u64, C)>;

/// Whether the first message of a line gets its ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The bytes are reserved for it.
    Granted,
    /// The limit of its connection or its source is reached.
    LineWaits,
    /// The limit of the peer is reached.
    AllWait,
}

impl<C: Copy + Hash + Ord, W> TicketQueue<C, W> {
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

    /// Whether a connection other than this one has a line.
    pub(super) fn has_others(&self, connection: C) -> bool {
        let own = usize::from(self.lines.contains_key(&connection));
        self.lines.len() > own
    }

    /// Appends a message to its line. Returns the number that identifies it.
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

    /// Removes a message that no longer waits, if it is still queued.
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

    /// Removes the last message of the line with the greatest weight, if that exceeds `than`.
    pub(super) fn displace(&mut self, weight: impl Fn(&W) -> usize, than: usize) -> Option<W> {
        let lines = self.lines.iter().filter_map(|(connection, line)| {
            let last = line.back()?;
            Some((weight(&last.waiter), *connection, last.arrival))
        });
        let (greatest, connection, arrival) = lines.max()?;
        if greatest <= than {
            return None;
        }
        self.remove(connection, arrival)
    }

    /// Removes and returns the messages that get a ticket now, in order. `holding` returns the
    /// bytes that the source of a waiting message holds at that moment.
    pub(super) fn decide(
        &mut self,
        holding: impl Fn(&W) -> usize,
        mut judge: impl FnMut(&W) -> Verdict,
    ) -> Vec<W> {
        let mut granted = Vec::new();
        let mut order: BinaryHeap<_> = self
            .firsts
            .values()
            .filter_map(|connection| self.place(*connection, &holding))
            .collect();
        while let Some(Reverse((held, arrival, connection))) = order.pop() {
            // The same source may have been granted a ticket in another line meanwhile.
            let Some(place) = self.place(connection, &holding) else {
                continue;
            };
            if place.0.0 > held {
                order.push(place);
                continue;
            }
            let Some(first) = self.first(connection) else {
                continue;
            };
            match judge(first) {
                Verdict::AllWait => break,
                Verdict::LineWaits => {}
                Verdict::Granted => {
                    granted.extend(self.remove(connection, arrival));
                    order.extend(self.place(connection, &holding));
                }
            }
        }
        granted
    }

    fn first(&self, connection: C) -> Option<&W> {
        let first = self.lines.get(&connection)?.front()?;
        Some(&first.waiter)
    }

    /// Returns the rank of a line: the bytes that its source holds, then the arrival of its first
    /// message.
    fn place(&self, connection: C, holding: impl Fn(&W) -> usize) -> Option<LineRank<C>> {
        let first = self.lines.get(&connection)?.front()?;
        Some(Reverse((holding(&first.waiter), first.arrival, connection)))
    }

    /// Updates `firsts` after the first message of a line has left.
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
        let decided = numbers(queue.decide(|_| 0, within(2, vec![('a', 9), ('b', 9)])));
        assert_eq!(decided, [1, 2]);
        assert!(!queue.is_empty());
        let decided = numbers(queue.decide(|_| 0, within(2, vec![('a', 9)])));
        assert_eq!(decided, [3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_connection_at_its_limit_holds_nobody_else_back() {
        let mut queue = queue(&[('a', 5, 1), ('a', 1, 2), ('b', 5, 3)]);
        // The small message of the same connection does not overtake.
        let decided = numbers(queue.decide(|_| 0, within(9, vec![('a', 4), ('b', 9)])));
        assert_eq!(decided, [3]);
        assert!(!queue.is_empty());
    }

    #[test]
    fn nobody_overtakes_one_that_waits_for_the_peer() {
        let mut queue = queue(&[('a', 5, 1), ('b', 1, 2)]);
        let decided = numbers(queue.decide(|_| 0, within(4, vec![('a', 9), ('b', 9)])));
        assert!(decided.is_empty());
    }

    #[test]
    fn the_source_that_holds_least_goes_first_and_each_grant_counts() {
        let mut queue = queue(&[
            ('a', 2, 1),
            ('a', 2, 2),
            ('b', 1, 3),
            ('b', 1, 4),
            ('c', 9, 5),
        ]);
        let held = std::cell::RefCell::new(HashMap::from([('a', 1), ('b', 0), ('c', 3)]));
        let holding = |message: &Message| held.borrow()[&message.0];
        let mut room = 5;
        let judge = |(connection, bytes, _): &Message| {
            if *bytes > room {
                return Verdict::AllWait;
            }
            room -= bytes;
            *held.borrow_mut().get_mut(connection).unwrap() += bytes;
            Verdict::Granted
        };
        // b holds 0, then a and b hold 1 each, then b holds 2 and a 3.
        assert_eq!(numbers(queue.decide(holding, judge)), [3, 1, 4]);
    }

    #[test]
    fn a_cancelled_wait_leaves_its_place() {
        let mut queue = queue(&[('a', 1, 1)]);
        let second = queue.push('a', ('a', 1, 2));
        queue.push('a', ('a', 1, 3));
        assert!(queue.has_others('b') && !queue.has_others('a'));
        assert_eq!(queue.remove('a', second), Some(('a', 1, 2)));
        assert_eq!(queue.remove('a', second), None);
        let decided = numbers(queue.decide(|_| 0, within(9, vec![('a', 9)])));
        assert_eq!(decided, [1, 3]);
    }
}
