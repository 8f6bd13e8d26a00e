//! Numbers that look random and repeat with their seed.

/// A sequence of numbers from a seed (SplitMix64): for ids that must differ, not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }

    /// Returns an id: positive.
    pub(crate) fn id(&mut self) -> i64 {
        i64::try_from(self.next() >> 1).unwrap_or(1).max(1)
    }
}
