//! The order in which calls are sent, where they must wait. Pure.

use std::collections::{HashMap, VecDeque};

use crate::name::Name;

/// The calls of a link that wait for their turn.
///
/// Calls from handlers have a line of their own, which goes first: a part of the credit is reserved
/// for them, and they must reach it while other calls wait for theirs. Within a line, calls are
/// sent in the order in which they came, as there is credit. So the order of the calls to one
/// receiver holds among those from handlers, and among the others.
///
/// While a large message is on its way, later calls to the same receiver wait apart, so that they
/// do not overtake it; others go on. The same holds for the calls behind one whose turn came and
/// whose caller does not send it.
#[derive(Debug)]
pub(super) struct CallOrder<K> {
    from_handlers: VecDeque<(K, Name)>,
    line: VecDeque<(K, Name)>,
    /// Those that wait apart, by their receiver.
    held: HashMap<Name, HeldCalls<K>>,
}

#[derive(Debug)]
struct HeldCalls<K> {
    /// With whether they are from handlers.
    calls: VecDeque<(K, bool)>,
    /// The call that the others wait for; none if they wait for a large message.
    parked: Option<K>,
}

impl<K: Copy + PartialEq> CallOrder<K> {
    pub(super) fn new() -> Self {
        Self {
            from_handlers: VecDeque::new(),
            line: VecDeque::new(),
            held: HashMap::new(),
        }
    }

    /// Whether a call to this receiver that comes now need not wait for others.
    #[inline]
    pub(super) fn is_free(&self, receiver: &Name, is_from_handler: bool) -> bool {
        self.from_handlers.is_empty()
            && (is_from_handler || self.line.is_empty())
            && (self.held.is_empty() || !self.held.contains_key(receiver))
    }

    /// Whether no call is in line. Some may wait apart.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.from_handlers.is_empty() && self.line.is_empty()
    }

    /// A call waits, behind all others that it must not overtake.
    pub(super) fn wait(&mut self, call: K, receiver: &Name, is_from_handler: bool) {
        match self.held.get_mut(receiver) {
            Some(held) => held.calls.push_back((call, is_from_handler)),
            None => {
                let line = self.line_of(is_from_handler);
                line.push_back((call, receiver.clone()));
            }
        }
    }

    /// The call whose turn it is, and whether it is from a handler.
    pub(super) fn first(&self) -> Option<(K, bool)> {
        self.in_line().next()
    }

    /// The calls in line, in their order.
    pub(super) fn in_line(&self) -> impl Iterator<Item = (K, bool)> {
        let from_handlers = self.from_handlers.iter().map(|(call, _)| (*call, true));
        from_handlers.chain(self.line.iter().map(|(call, _)| (*call, false)))
    }

    /// The first call was sent.
    pub(super) fn advance(&mut self) {
        if self.from_handlers.pop_front().is_none() {
            self.line.pop_front();
        }
    }

    /// A large message to this receiver is on its way.
    pub(super) fn hold(&mut self, receiver: &Name) {
        let mut calls = VecDeque::new();
        for is_from_handler in [true, false] {
            self.line_of(is_from_handler).retain(|(call, to)| {
                if to == receiver {
                    calls.push_back((*call, is_from_handler));
                }
                to != receiver
            });
        }
        let held = HeldCalls {
            calls,
            parked: None,
        };
        self.held.insert(receiver.clone(), held);
    }

    /// The large message to this receiver is sent.
    pub(super) fn release(&mut self, receiver: &Name) {
        let held = self.held.remove(receiver);
        for (call, is_from_handler) in held.into_iter().flat_map(|held| held.calls) {
            let line = self.line_of(is_from_handler);
            line.push_back((call, receiver.clone()));
        }
    }

    /// The first call lets others pass, except those to the same receiver.
    pub(super) fn park_first(&mut self) {
        let first = self.from_handlers.front().or(self.line.front());
        let Some((call, receiver)) = first.cloned() else {
            return;
        };
        self.hold(&receiver);
        if let Some(held) = self.held.get_mut(&receiver) {
            held.parked = Some(call);
        }
    }

    /// A call that may have let others pass does so no more: it goes on first.
    pub(super) fn unpark(&mut self, call: K, receiver: &Name) {
        let is_parked = |held: &HeldCalls<K>| held.parked == Some(call);
        if !self.held.get(receiver).is_some_and(is_parked) {
            return;
        }
        let held = self.held.remove(receiver);
        let calls = held.into_iter().flat_map(|held| held.calls);
        for (call, is_from_handler) in calls.rev() {
            let line = self.line_of(is_from_handler);
            line.push_front((call, receiver.clone()));
        }
    }

    /// A call does not wait any more.
    pub(super) fn remove(&mut self, call: K, receiver: &Name) {
        self.unpark(call, receiver);
        if let Some(held) = self.held.get_mut(receiver) {
            held.calls.retain(|(waiting, _)| *waiting != call);
        }
        for line in [&mut self.from_handlers, &mut self.line] {
            if let Some(place) = line.iter().position(|(waiting, _)| *waiting == call) {
                line.remove(place);
            }
        }
    }

    /// Takes all that wait. Those to one receiver are in their order.
    pub(super) fn take_all(&mut self) -> Vec<K> {
        let held = self.held.drain().flat_map(|(_, held)| held.calls);
        let mut all: Vec<_> = held.map(|(call, _)| call).collect();
        all.extend(self.from_handlers.drain(..).map(|(call, _)| call));
        all.extend(self.line.drain(..).map(|(call, _)| call));
        all
    }

    const fn line_of(&mut self, is_from_handler: bool) -> &mut VecDeque<(K, Name)> {
        match is_from_handler {
            true => &mut self.from_handlers,
            false => &mut self.line,
        }
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
        assert!(!order.is_free(&a, false) && order.is_free(&b, false));
        order.wait(1, &a, false);
        order.wait(2, &b, false);
        assert_eq!(order.first(), Some((2, false)));
        order.advance();
        assert_eq!(order.first(), None);
        order.release(&a);
        assert_eq!(order.first(), Some((1, false)));
    }

    #[test]
    fn calls_from_handlers_wait_only_for_each_other() {
        let mut order = CallOrder::new();
        let (a, b) = (name(0), name(1));
        order.wait(1, &a, false);
        assert!(!order.is_free(&b, false) && order.is_free(&a, true));
        order.wait(2, &b, true);
        assert!(!order.is_free(&a, true));
        assert_eq!(order.first(), Some((2, true)));
        order.advance();
        assert_eq!(order.first(), Some((1, false)));
    }

    #[test]
    fn a_parked_call_lets_other_receivers_pass_and_goes_on_before_its_own() {
        let mut order = CallOrder::new();
        let (a, b) = (name(0), name(1));
        for (call, receiver) in [(1, &a), (2, &b), (3, &a)] {
            order.wait(call, receiver, false);
        }
        order.park_first();
        order.wait(4, &a, false);
        assert!(order.in_line().eq([(2, false)]));
        order.unpark(3, &a);
        assert!(order.in_line().eq([(2, false)]), "it is not parked itself");
        order.unpark(1, &a);
        let calls = [1, 3, 4, 2].map(|call| (call, false));
        assert!(order.in_line().eq(calls));
        order.park_first();
        order.remove(1, &a);
        assert_eq!(order.first(), Some((3, false)));
    }

    /// A call of the property below.
    #[derive(Debug, Clone)]
    struct Waiting {
        call: usize,
        receiver: Name,
    }

    proptest! {
        /// However calls wait, are sent and leave, those to one receiver keep their order.
        #[test]
        fn calls_to_one_receiver_keep_their_order(
            steps in proptest::collection::vec((0..7_u8, 0..6_usize), 0..120),
        ) {
            let mut order = CallOrder::new();
            let mut waiting: Vec<Waiting> = Vec::new();
            let mut held: Vec<Name> = Vec::new();
            let mut parked: Vec<(usize, Name)> = Vec::new();
            let mut sent: HashMap<(Name, bool), usize> = HashMap::new();
            let mut calls = 0;
            for (step, number) in steps {
                let receiver = name(number);
                match step {
                    0 | 1 => {
                        calls += 1;
                        let is_from_handler = number > 2;
                        order.wait(calls, &receiver, is_from_handler);
                        waiting.push(Waiting { call: calls, receiver });
                    }
                    2 => {
                        let Some((call, is_from_handler)) = order.first() else { continue };
                        let place = waiting.iter().position(|other| other.call == call);
                        let receiver = waiting.remove(place.unwrap()).receiver;
                        prop_assert!(!held.contains(&receiver));
                        prop_assert!(parked.iter().all(|(_, other)| *other != receiver));
                        order.advance();
                        let before = sent.insert((receiver.clone(), is_from_handler), call);
                        prop_assert!(before < Some(call));
                        if call % 3 == 0 {
                            order.hold(&receiver);
                            held.push(receiver);
                        }
                    }
                    3 => {
                        if !held.contains(&receiver) { continue }
                        order.release(&receiver);
                        held.retain(|other| *other != receiver);
                    }
                    4 => {
                        let Some((call, _)) = order.first() else { continue };
                        let first = waiting.iter().find(|other| other.call == call).unwrap();
                        parked.push((call, first.receiver.clone()));
                        order.park_first();
                    }
                    5 => {
                        if parked.is_empty() { continue }
                        let (call, receiver) = parked.remove(number % parked.len());
                        order.unpark(call, &receiver);
                    }
                    _ => {
                        if waiting.is_empty() { continue }
                        let removed = waiting.remove(number % waiting.len());
                        order.remove(removed.call, &removed.receiver);
                        parked.retain(|(call, _)| *call != removed.call);
                    }
                }
                let waits_apart = |receiver: &Name| {
                    held.contains(receiver) || parked.iter().any(|(_, other)| other == receiver)
                };
                let free = waiting.iter().any(|call| !waits_apart(&call.receiver));
                prop_assert_eq!(order.first().is_some(), free);
            }
            prop_assert_eq!(order.take_all().len(), waiting.len());
        }
    }
}
