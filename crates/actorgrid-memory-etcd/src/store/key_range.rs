//! The keys that a request addresses.

use std::ops::Bound;

use bytes::Bytes;

/// A range of keys, in the encoding of etcd: a key and the end of the range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyRange {
    One(Bytes),
    From(Bytes),
    /// From the first key up to but excluding the second, which may be smaller: then no key.
    Between(Bytes, Bytes),
}

impl KeyRange {
    /// Reads a range. No end means the key alone, and a zero byte means all keys from it on.
    pub(crate) fn new(key: &Bytes, end: &Bytes) -> Self {
        match &**end {
            [] => Self::One(key.clone()),
            [0] => Self::From(key.clone()),
            _ => Self::Between(key.clone(), end.clone()),
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::From(first) => &first[..] <= key,
            Self::Between(first, end) => &first[..] <= key && key < &end[..],
        }
    }

    /// Whether the range is one of several keys, but can contain none.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Between(first, end) if first >= end)
    }

    /// Returns the bounds for a search. They are valid for a map even if the range is empty.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        match self {
            Self::One(one) => (Bound::Included(one), Bound::Included(one)),
            Self::From(first) => (Bound::Included(first), Bound::Unbounded),
            Self::Between(first, end) => (Bound::Included(first), Bound::Excluded(first.max(end))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_end_of_a_range_as_etcd_does() {
        let range = |key: &'static [u8], end: &'static [u8]| {
            KeyRange::new(&Bytes::from_static(key), &Bytes::from_static(end))
        };
        for (key, end, inside, outside) in [
            (
                &b"b"[..],
                &b""[..],
                &[&b"b"[..]][..],
                &[&b"a"[..], b"b\0", b"c"][..],
            ),
            (b"b", b"\0", &[b"b", b"c", b"\xff\xff"], &[b"a", b""]),
            (b"\0", b"\0", &[b"\0", b"a"], &[b""]),
            (b"b", b"d", &[b"b", b"b\0", b"c"], &[b"a", b"d"]),
            (b"d", b"b", &[], &[b"b", b"c", b"d"]),
            (b"b", b"b", &[], &[b"b"]),
        ] {
            let range = range(key, end);
            assert!(inside.iter().all(|key| range.contains(key)), "{range:?}");
            assert!(!outside.iter().any(|key| range.contains(key)), "{range:?}");
            assert_eq!(range.is_empty(), inside.is_empty());
            let keys = std::collections::BTreeSet::from([Bytes::from_static(b"c")]);
            let found = keys.range::<[u8], _>(range.bounds()).count();
            assert_eq!(found == 1, range.contains(b"c"), "{range:?}");
        }
    }
}
