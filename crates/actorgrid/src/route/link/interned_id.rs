//! Ids of texts that a receiver remembers.

use std::num::NonZeroU32;

/// The bit of a reference that defines an id.
pub(super) const DEFINES: u32 = 1 << 31;

/// The id of an interned text: 1 to 2^31 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct InternedId(NonZeroU32);

impl InternedId {
    /// Returns `None` for 0, and for a number from 2^31 on.
    pub(crate) fn new(number: u32) -> Option<Self> {
        let number = NonZeroU32::new(number)?;
        (number.get() & DEFINES == 0).then_some(Self(number))
    }

    pub(crate) const fn get(self) -> u32 {
        self.0.get()
    }

    /// Returns its place in a table: ids begin with 1.
    pub(super) fn index(self) -> usize {
        usize::try_from(self.get() - 1).unwrap_or(usize::MAX)
    }

    /// Returns the id of a place in a table.
    pub(super) fn of_index(index: usize) -> Option<Self> {
        let number = u32::try_from(index).ok()?.checked_add(1)?;
        Self::new(number)
    }
}
