//! The order in which calls are sent, where they must wait. Pure.

use std::collections::{HashMap, VecDeque};

use crate::name::Name;

/// The calls of a link that wait for their turn.
///
/// They are sent in the order in which they came, as there is credit. While a large message is on
/// its way, later calls to the same receiver wait apart, so that they do not overtake it; others go
/// on.
#[derive(Debug)]
pub(super) struct CallOrder<K> {
    line: VecDeque<(K, Name)>,
    /// Those behind a large message, by its receiver.
    held: HashMap<Name, VecDeque<K>>,
}

impl<K: Copy + PartialEq> CallOrder<K> {
    pub(super) fn new() -> Self {
        Self {
            line: VecDeque::new(),
            held: HashMap::new(),
        }
    }

    /// Whether a call to this receiver that comes now need not wait for others.
    pub(super) fn is_free(&self, receiver: &Name) -> bool {
        self.line.is_empty() && (self.held.is_empty() || !self.held.contains_key(receiver))
    }

    /// A call waits, behind all others that it must not overtake.
    pub(super) fn wait(&mut self, call: K, receiver: &Name) {
        match self.held.get_mut(receiver) {
            Some(held) => held.push_back(call),
            None => self.line.push_back((call, receiver.clone())),
        }
    }

    /// The call whose turn it is.
    pub(super) fn first(&self) -> Option<K> {
        self.line.front().map(|(call, _)| *call)
    }

    /// The first call was sent.
    pub(super) fn advance(&mut self) {
        self.line.pop_front();
    }

    /// A large message to this receiver is on its way.
    pub(super) fn hold(&mut self, receiver: &Name) {
        let mut held = VecDeque::new();
        self.line.retain(|(call, to)| {
            if to == receiver {
                held.push_back(*call);
            }
            to != receiver
        });
        self.held.insert(receiver.clone(), held);
    }

    /// The large message to this receiver is sent.
    pub(super) fn release(&mut self, receiver: &Name) {
        let held = self.held.remove(receiver).unwrap_or_default();
        let held = held.into_iter().map(|call| (call, receiver.clone()));
        self.line.extend(held);
    }

    /// A call does not wait any more.
    pub(super) fn remove(&mut self, call: K, receiver: &Name) {
        if let Some(held) = self.held.get_mut(receiver) {
            held.retain(|waiting| *waiting != call);
        }
        if let Some(place) = self.line.iter().position(|(waiting, _)| *waiting == call) {
            self.line.remove(place);
        }
    }

    /// Takes all that wait.
    pub(super) fn clear(&mut self) {
        self.line.clear();
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(number: usize) -> Name {
        Name::new(["a", "b", "c"][number % 3]).unwrap()
    }

    #[test]
    fn a_large_message_holds_up_its_own_receiver_alone() {
        let mut order = CallOrder::new();
        let (a, b) = (name(0), name(1));
        order.hold(&a);
        assert!(!order.is_free(&a) && order.is_free(&b));
        order.wait(1, &a);
        order.wait(2, &b);
        assert_eq!(order.first(), Some(2));
        order.advance();
        assert_eq!(order.first(), None);
        order.release(&a);
        assert_eq!(order.first(), Some(1));
    }

    proptest! {
        /// However calls wait, are sent and leave, those to one receiver keep their order.
        #[test]
        fn calls_to_one_receiver_keep_their_order(
            steps in proptest::collection::vec((0..5_u8, 0..3_usize), 0..120),
        ) {
            let mut order = CallOrder::new();
            let mut waiting: Vec<(usize, Name)> = Vec::new();
            let mut held: Vec<Name> = Vec::new();
            let mut sent: HashMap<Name, usize> = HashMap::new();
            let mut calls = 0;
            for (step, number) in steps {
                let receiver = name(number);
                match step {
                    0 | 1 => {
                        calls += 1;
                        order.wait(calls, &receiver);
                        waiting.push((calls, receiver));
                    }
                    2 => {
                        let Some(call) = order.first() else { continue };
                        let place = waiting.iter().position(|(other, _)| *other == call);
                        let (_, receiver) = waiting.remove(place.unwrap());
                        prop_assert!(!held.contains(&receiver));
                        order.advance();
                        prop_assert!(sent.insert(receiver.clone(), call) < Some(call));
                        if call % 3 == 0 {
                            order.hold(&receiver);
                            held.push(receiver);
                        }
                    }
                    3 => {
                        order.release(&receiver);
                        held.retain(|other| *other != receiver);
                    }
                    _ => {
                        if waiting.is_empty() { continue }
                        let (call, receiver) = waiting.remove(number % waiting.len());
                        order.remove(call, &receiver);
                    }
                }
                let free = waiting.iter().any(|(_, receiver)| !held.contains(receiver));
                prop_assert_eq!(order.first().is_some(), free);
            }
        }
    }
}
