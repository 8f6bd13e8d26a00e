//! Revisions of the registry, which order its changes.

use std::fmt;

/// A revision of a registry cluster. Each transaction that changes something creates the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Revision(i64);

impl Revision {
    /// The revision before every change.
    pub(crate) const ZERO: Self = Self(0);

    /// Creates the revision with this number, as the registry counts.
    pub(crate) const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Returns the number, as the registry counts.
    pub(crate) const fn get(self) -> i64 {
        self.0
    }

    /// Returns the revision after this one. The greatest has no successor and returns itself.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_but_the_greatest_has_a_next() {
        for (number, next) in [(0, 1), (7, 8), (i64::MAX, i64::MAX)] {
            let revision = Revision::new(number);
            assert_eq!(revision.next(), Revision::new(next));
            assert_eq!(revision.get(), number);
            assert_eq!(revision.to_string(), number.to_string());
        }
        assert!(Revision::ZERO < Revision::ZERO.next());
    }
}
