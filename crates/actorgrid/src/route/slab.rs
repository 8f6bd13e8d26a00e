//! Values at places that are used again, with keys that are not mistaken for later ones. Pure.

/// Values at numbered places. It grows as needed, and never beyond the most values that it held at
/// once: its user bounds their number. (A place is given up after 2^32 uses, for another one.)
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// The places that were given up: the next key of each would be its first one.
    worn_out: usize,
    /// The generation of the first key of each further place. No earlier place there had it.
    first_generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    /// Grows when a value leaves, so that the key of that value finds no later one.
    generation: u32,
    value: Option<T>,
}

/// Names a value of a [`Slab`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlabKey {
    pub(super) index: u32,
    generation: u32,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            worn_out: 0,
            first_generation: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len() - self.worn_out
    }

    /// The number of places, taken or not.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of the value that is inserted next.
    pub(super) fn next_key(&self) -> SlabKey {
        match self.free.last() {
            Some(index) => SlabKey {
                index: *index,
                generation: self.slot(*index).map_or(0, |slot| slot.generation),
            },
            None => SlabKey {
                index: u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
                generation: self.first_generation,
            },
        }
    }

    #[inline]
    pub(super) fn insert(&mut self, value: T) -> SlabKey {
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slot_mut(index)
        {
            slot.value = Some(value);
            let generation = slot.generation;
            return SlabKey { index, generation };
        }
        let key = self.next_key();
        self.slots.push(Slot {
            generation: key.generation,
            value: Some(value),
        });
        key
    }

    pub(super) fn get(&self, key: SlabKey) -> Option<&T> {
        let slot = self.slot(key.index)?;
        let value = slot.value.as_ref();
        value.filter(|_| slot.generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: SlabKey) -> Option<&mut T> {
        let slot = self.slot_mut(key.index)?;
        let is_same = slot.generation == key.generation;
        slot.value.as_mut().filter(|_| is_same)
    }

    pub(super) fn remove(&mut self, key: SlabKey) -> Option<T> {
        let slot = self.slot_mut(key.index)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        self.set_free(key);
        Some(value)
    }

    /// Drops a value in its place.
    pub(super) fn discard(&mut self, key: SlabKey) {
        if let Some(slot) = self.slot_mut(key.index)
            && slot.generation == key.generation
            && slot.value.is_some()
        {
            slot.value = None;
            self.set_free(key);
        }
    }

    /// The value of this key has left its place.
    fn set_free(&mut self, key: SlabKey) {
        match self.slot_mut(key.index) {
            Some(slot) if slot.generation < u32::MAX => {
                slot.generation += 1;
                self.free.push(key.index);
            }
            _ => self.worn_out += 1,
        }
    }

    /// Frees the memory of all places but so many, if none is taken.
    pub(super) fn shrink(&mut self, kept: usize) {
        let others = self.slots.get(kept..).unwrap_or_default();
        let latest = others.iter().map(|slot| slot.generation).max();
        let Some(latest) = latest.filter(|latest| self.is_empty() && *latest < u32::MAX) else {
            return;
        };
        self.first_generation = self.first_generation.max(latest);
        self.slots.truncate(kept);
        self.slots.shrink_to_fit();
        let in_use = |index: &u32| usize::try_from(*index).is_ok_and(|index| index < kept);
        self.free.retain(in_use);
        self.free.shrink_to_fit();
    }

    /// The value at a place, whichever it is, with its key.
    pub(super) fn at(&mut self, index: u32) -> Option<(SlabKey, &mut T)> {
        let slot = self.slot_mut(index)?;
        let generation = slot.generation;
        let value = slot.value.as_mut()?;
        Some((SlabKey { index, generation }, value))
    }

    /// All values, with their keys.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (SlabKey, &mut T)> {
        let slots = (0..).zip(&mut self.slots);
        slots.filter_map(|(index, slot)| {
            let generation = slot.generation;
            let value = slot.value.as_mut()?;
            Some((SlabKey { index, generation }, value))
        })
    }

    /// Takes all values.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        let keys: Vec<_> = self.iter_mut().map(|(key, _)| key).collect();
        keys.into_iter()
            .filter_map(|key| self.remove(key))
            .collect()
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        self.slots.get(usize::try_from(index).ok()?)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.slots.get_mut(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_key_finds_its_own_value_and_no_later_one(
            steps in proptest::collection::vec((any::<bool>(), 0..40_usize), 0..200),
        ) {
            let mut slab = Slab::new();
            let mut given = Vec::new();
            let mut model = HashMap::new();
            let mut most = 0;
            for (inserts, back) in steps {
                if inserts {
                    let value = given.len();
                    let next = slab.next_key();
                    let key = slab.insert(value);
                    prop_assert_eq!(key, next);
                    given.push(key);
                    model.insert(value, key);
                } else if let Some(value) = given.len().checked_sub(back + 1) {
                    let expected = model.remove(&value).map(|_| value);
                    if back % 2 == 0 {
                        slab.discard(given[value]);
                    } else {
                        prop_assert_eq!(slab.remove(given[value]), expected);
                    }
                }
                most = most.max(model.len());
                prop_assert_eq!(slab.len(), model.len());
                prop_assert_eq!(slab.slots.len(), most);
                for (value, key) in given.iter().enumerate() {
                    let is_there = model.contains_key(&value);
                    prop_assert_eq!(slab.get(*key).copied(), is_there.then_some(value));
                    prop_assert_eq!(slab.get_mut(*key).is_some(), is_there);
                }
            }
            prop_assert_eq!(slab.take_all().len(), model.len());
            prop_assert!(slab.is_empty());
            slab.shrink(3);
            prop_assert!(slab.slots.len() <= 3 && slab.free.len() == slab.slots.len());
            let later: Vec<_> = (0..5).map(|value| (value, slab.insert(value))).collect();
            for (value, key) in later {
                prop_assert!(!given.contains(&key));
                prop_assert_eq!(slab.get(key).copied(), Some(value));
            }
        }
    }

    #[test]
    fn a_place_is_given_up_before_its_keys_repeat() {
        let mut slab = Slab::new();
        slab.insert('a');
        slab.slots[0].generation = u32::MAX;
        let last = SlabKey {
            index: 0,
            generation: u32::MAX,
        };
        assert_eq!(slab.remove(last), Some('a'));
        assert!(slab.is_empty() && slab.get(last).is_none());
        let next = slab.insert('b');
        assert_ne!(next.index, last.index);
        assert!(slab.get(last).is_none());
        assert_eq!((slab.len(), slab.remove(next)), (1, Some('b')));
        // A place that was given up is not freed, or its keys would repeat.
        slab.shrink(0);
        assert_eq!(slab.slots.len(), 2);
        slab.shrink(1);
        assert_eq!((slab.slots.len(), slab.len()), (1, 0));
    }

    #[test]
    fn places_that_are_taken_are_kept() {
        let mut slab = Slab::new();
        let keys: Vec<_> = (0..9).map(|value| slab.insert(value)).collect();
        for key in &keys[1..] {
            slab.discard(*key);
        }
        slab.shrink(2);
        assert_eq!((slab.slots.len(), slab.get(keys[0])), (9, Some(&0)));
    }
}
