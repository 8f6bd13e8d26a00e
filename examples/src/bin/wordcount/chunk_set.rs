//! Sets of chunks.

/// A set of chunk numbers, one bit each: a million chunks fit into 125 kB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ChunkSet(Vec<u8>);

impl ChunkSet {
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn contains(&self, chunk: u64) -> bool {
        let (byte, bit) = place(chunk);
        self.0.get(byte).is_some_and(|bits| bits & bit != 0)
    }

    /// Inserts a chunk; returns whether it was new.
    pub(crate) fn insert(&mut self, chunk: u64) -> bool {
        let (byte, bit) = place(chunk);
        if self.0.len() <= byte {
            self.0.resize(byte + 1, 0);
        }
        let is_new = self.0[byte] & bit == 0;
        self.0[byte] |= bit;
        is_new
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Returns the chunks that are in all of the sets, and those that are in any of them.
    pub(crate) fn common_and_any(sets: &[Self]) -> (Self, Self) {
        let length = sets.iter().map(|set| set.0.len()).max().unwrap_or(0);
        let of = |set: &Self, byte: usize| set.0.get(byte).copied().unwrap_or(0);
        let fold = |start: u8, join: fn(u8, u8) -> u8| {
            (0..length)
                .map(|byte| {
                    sets.iter()
                        .fold(start, |bits, set| join(bits, of(set, byte)))
                })
                .collect()
        };
        (Self(fold(0xff, |a, b| a & b)), Self(fold(0, |a, b| a | b)))
    }
}

fn place(chunk: u64) -> (usize, u8) {
    (
        usize::try_from(chunk / 8).unwrap_or(usize::MAX),
        1 << (chunk % 8),
    )
}

#[cfg(test)]
mod tests {
    use super::ChunkSet;

    fn set(chunks: &[u64]) -> ChunkSet {
        let mut set = ChunkSet::default();
        for chunk in chunks {
            assert!(set.insert(*chunk));
            assert!(!set.insert(*chunk));
        }
        set
    }

    #[test]
    fn holds_what_was_inserted() {
        let set = set(&[0, 7, 8, 100]);
        assert_eq!(set.len(), 4);
        assert!(set.contains(100) && !set.contains(99) && !set.contains(1000));
    }

    #[test]
    fn chunks_that_all_have_and_that_any_has() {
        let (common, any) =
            ChunkSet::common_and_any(&[set(&[1, 9, 20]), set(&[1, 20]), set(&[1, 2, 20])]);
        assert_eq!((common.len(), any.len()), (2, 4));
        assert!(common.contains(20) && any.contains(9));
        let (common, any) = ChunkSet::common_and_any(&[set(&[5]), set(&[])]);
        assert_eq!((common.len(), any.len()), (0, 1));
    }
}
