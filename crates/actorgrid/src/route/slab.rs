//! Values at places that are used again, with keys that are not mistaken for later ones. Pure.

/// Values at numbered places. It grows as needed, and never beyond the most values that it held at
/// once: its user bounds their number.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
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
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
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
                generation: 0,
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
            generation: 0,
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
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// Drops a value in its place.
    pub(super) fn discard(&mut self, key: SlabKey) {
        if let Some(slot) = self.slot_mut(key.index)
            && slot.generation == key.generation
            && slot.value.is_some()
        {
            slot.value = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(key.index);
        }
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
        }
    }
}
