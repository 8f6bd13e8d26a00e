//! The places of a queue: first in, first out, with removal from the middle.

use crate::route::QueuePlace;

/// The places in one allocation. Small, so that a rarely used mailbox costs little, and in chunks,
/// so that a queue grows without moving its values.
const CHUNK: usize = 16;
/// The index of no place.
const NO_PLACE: u32 = u32::MAX;

/// The queued requests, in order. Memory is allocated on demand and freed when the queue is empty.
pub(super) struct Places<T> {
    chunks: Vec<Chunk<T>>,
    first: u32,
    last: u32,
    /// The first free place; the others are linked from it.
    free: u32,
    taken: usize,
    /// The most values at once since the queue was empty.
    most: usize,
    next_generation: u64,
}

pub(super) type Chunk<T> = Box<[Place<T>]>;

/// One place, linked with its neighbours in the queue, or with the next free place.
pub(super) struct Place<T> {
    value: Option<T>,
    /// Never used twice, so that the position of an earlier value cannot remove its successor.
    generation: u64,
    before: u32,
    after: u32,
}

impl<T> Places<T> {
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            first: NO_PLACE,
            last: NO_PLACE,
            free: NO_PLACE,
            taken: 0,
            most: 0,
            next_generation: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// Appends a value.
    ///
    /// The caller bounds the number of values, far below the number of indexes.
    pub(super) fn push(&mut self, value: T) -> QueuePlace {
        if self.free == NO_PLACE {
            self.grow();
        }
        let index = self.free;
        let generation = self.next_generation;
        self.next_generation += 1;
        let last = self.last;
        let place = self.at(index);
        let free = std::mem::replace(&mut place.after, NO_PLACE);
        place.before = last;
        place.generation = generation;
        place.value = Some(value);
        self.free = free;
        self.last = index;
        match last {
            NO_PLACE => self.first = index,
            last => self.at(last).after = index,
        }
        self.taken += 1;
        self.most = self.most.max(self.taken);
        QueuePlace { index, generation }
    }

    /// Removes and returns the first value.
    pub(super) fn pop(&mut self) -> Option<T> {
        match self.first {
            NO_PLACE => None,
            first => self.take(first),
        }
    }

    /// Removes and returns the value at a place, if it is still there.
    pub(super) fn remove(&mut self, place: QueuePlace) -> Option<T> {
        let index = place.index as usize;
        let there = self.chunks.get(index / CHUNK)?.get(index % CHUNK)?;
        if there.generation != place.generation {
            return None;
        }
        self.take(place.index)
    }

    /// Removes and returns the values for which `remove_if` is true, in order. The others keep
    /// their places.
    pub(super) fn take_where(&mut self, mut remove_if: impl FnMut(&mut T) -> bool) -> Vec<T> {
        let mut gone = Vec::new();
        let mut next = self.first;
        while next != NO_PLACE {
            let index = next;
            let place = self.at(index);
            next = place.after;
            if place.value.as_mut().is_some_and(&mut remove_if) {
                gone.extend(self.take(index));
            }
        }
        gone
    }

    /// If the queue is empty, removes and returns the chunks that it did not need since it was
    /// empty last, and all beyond `kept`, for the caller to free.
    pub(super) fn take_spare(&mut self, kept: usize) -> Vec<Chunk<T>> {
        if self.taken > 0 {
            return Vec::new();
        }
        let kept = self.most.div_ceil(CHUNK).max(1).min(kept);
        self.most = 0;
        if self.chunks.len() <= kept {
            return Vec::new();
        }
        let mut spare = std::mem::take(&mut self.chunks);
        self.free = NO_PLACE;
        for chunk in spare.split_off(spare.len() - kept) {
            self.add(chunk);
        }
        spare
    }

    fn take(&mut self, index: u32) -> Option<T> {
        let free = self.free;
        let place = self.at(index);
        let value = place.value.take()?;
        let before = std::mem::replace(&mut place.before, NO_PLACE);
        let after = std::mem::replace(&mut place.after, free);
        self.free = index;
        match before {
            NO_PLACE => self.first = after,
            before => self.at(before).after = after,
        }
        match after {
            NO_PLACE => self.last = before,
            after => self.at(after).before = before,
        }
        self.taken -= 1;
        Some(value)
    }

    fn grow(&mut self) {
        let empty = |_| Place {
            value: None,
            generation: 0,
            before: NO_PLACE,
            after: NO_PLACE,
        };
        self.add((0..CHUNK).map(empty).collect());
    }

    /// Adds a chunk of free places.
    fn add(&mut self, mut chunk: Chunk<T>) {
        let start = u32::try_from(self.chunks.len() * CHUNK).unwrap_or(NO_PLACE);
        for (index, place) in (start..NO_PLACE).zip(chunk.iter_mut()) {
            place.after = self.free;
            self.free = index;
        }
        self.chunks.push(chunk);
    }

    fn at(&mut self, index: u32) -> &mut Place<T> {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push,
        Pop,
        /// Leaves the place that was assigned this many pushes ago, taken or not.
        Remove(usize),
        /// Removes every multiple of this.
        TakeWhere(usize),
        FreeSpare(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            5 => Just(Step::Push),
            3 => Just(Step::Pop),
            3 => (0..60_usize).prop_map(Step::Remove),
            1 => (1..4_usize).prop_map(Step::TakeWhere),
            1 => (0..3_usize).prop_map(Step::FreeSpare),
        ];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        #[test]
        fn hold_values_in_their_order_and_give_each_once(steps in steps()) {
            let mut places = Places::new();
            let mut model = VecDeque::new();
            let mut given: Vec<(QueuePlace, usize)> = Vec::new();
            // The most values at once since spare memory was freed last.
            let mut most = 0_usize;
            for step in steps {
                match step {
                    Step::Push => {
                        let value = given.len();
                        let place = places.push(value);
                        prop_assert!(given.iter().all(|(other, _)| *other != place));
                        given.push((place, value));
                        model.push_back(value);
                    }
                    Step::Pop => prop_assert_eq!(places.pop(), model.pop_front()),
                    Step::Remove(back) => {
                        let Some((place, value)) = given.iter().rev().nth(back) else {
                            continue;
                        };
                        let at = model.iter().position(|queued| queued == value);
                        let expected = at.and_then(|at| model.remove(at));
                        prop_assert_eq!(places.remove(*place), expected);
                    }
                    Step::TakeWhere(factor) => {
                        let remove_if = |value: &usize| value.is_multiple_of(factor);
                        let expected: Vec<_> = model.iter().copied().filter(remove_if).collect();
                        model.retain(|value| !remove_if(value));
                        prop_assert_eq!(places.take_where(|value| remove_if(value)), expected);
                    }
                    Step::FreeSpare(kept) => {
                        let before = places.chunks.len();
                        let freed = places.take_spare(kept).len();
                        let least = match model.is_empty() {
                            true => {
                                let needed = std::mem::take(&mut most).div_ceil(CHUNK).max(1);
                                needed.min(kept).min(before)
                            }
                            false => before,
                        };
                        prop_assert_eq!(places.chunks.len(), least);
                        prop_assert_eq!(freed, before - least);
                    }
                }
                prop_assert_eq!(places.len(), model.len());
                most = most.max(model.len());
            }
            prop_assert_eq!(std::iter::from_fn(|| places.pop()).collect::<VecDeque<_>>(), model);
        }
    }

    #[test]
    fn a_place_that_was_left_does_not_remove_its_successor() {
        let mut places = Places::new();
        let stale = places.push("first");
        assert_eq!(places.pop(), Some("first"));
        let place = places.push("second");
        assert_eq!(place.index, stale.index);
        assert_eq!(places.remove(stale), None);
        assert_eq!(places.remove(place), Some("second"));
        assert_eq!(places.remove(place), None);
        // The memory of the place is gone, too.
        places.take_spare(0);
        assert_eq!(places.remove(place), None);
    }

    #[test]
    fn take_memory_as_needed_and_use_it_again() {
        let mut places = Places::new();
        assert!(places.chunks.is_empty());
        for round in 0..3 {
            let given: Vec<_> = (0..100).map(|value| places.push(value)).collect();
            assert_eq!(places.chunks.len(), 100_usize.div_ceil(CHUNK), "{round}");
            for place in given.into_iter().rev() {
                assert!(places.remove(place).is_some());
            }
        }
        assert_eq!(places.take_spare(1).len(), 100_usize.div_ceil(CHUNK) - 1);
        assert_eq!(places.chunks.len(), 1);
        assert!(places.take_spare(1).is_empty());
    }
}
