//! The versions of one key.

use crate::wire::KeyValue;

/// The versions of one key that are not compacted, in order of revision. A deletion is a version
/// whose number is zero.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyVersions(Vec<KeyValue>);

impl KeyVersions {
    /// Returns the version that is current at a revision, unless the key does not exist there.
    pub(super) fn at(&self, revision: i64) -> Option<&KeyValue> {
        let count = self.0.partition_point(|kv| kv.mod_revision <= revision);
        let last = count.checked_sub(1)?;
        self.0.get(last).filter(|kv| kv.version > 0)
    }

    pub(super) fn latest(&self) -> Option<&KeyValue> {
        self.0.last().filter(|kv| kv.version > 0)
    }

    pub(super) fn push(&mut self, version: KeyValue) {
        self.0.push(version);
    }

    /// Removes the versions that nobody can read once the revisions before this one are compacted.
    /// Returns their bytes.
    pub(super) fn compact(&mut self, revision: i64) -> usize {
        let reached = self.0.partition_point(|kv| kv.mod_revision <= revision);
        let Some(current) = reached.checked_sub(1) else {
            return 0;
        };
        let is_deletion = self.0[current].version == 0;
        let removed = self.0.drain(..current + usize::from(is_deletion));
        removed.map(|kv| weight(&kv)).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The bytes that a version counts for, beside its key and value: those of the structures that hold
/// it, here and in the log of changes.
pub(crate) const RECORD_BYTES: usize = 256;

/// Returns the bytes that a version counts for.
pub(super) fn weight(kv: &KeyValue) -> usize {
    kv.key.len() + kv.value.len() + RECORD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(numbers: &[(i64, i64)]) -> KeyVersions {
        let version = |&(mod_revision, version)| KeyValue {
            mod_revision,
            version,
            ..KeyValue::default()
        };
        KeyVersions(numbers.iter().map(version).collect())
    }

    fn revisions(versions: &KeyVersions) -> Vec<i64> {
        versions.0.iter().map(|kv| kv.mod_revision).collect()
    }

    #[test]
    fn reads_the_past() {
        let versions = versions(&[(3, 1), (5, 2), (6, 0), (9, 1)]);
        let at = |revision| versions.at(revision).map(|kv| kv.mod_revision);
        let found = [2, 3, 4, 5, 6, 8, 9, 99].map(at);
        let expected = [
            None,
            Some(3),
            Some(3),
            Some(5),
            None,
            None,
            Some(9),
            Some(9),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn compaction_keeps_what_can_still_be_read() {
        for (at, left) in [
            (2, &[3, 5, 6, 9][..]),
            (3, &[3, 5, 6, 9]),
            (5, &[5, 6, 9]),
            (6, &[9]),
            (8, &[9]),
            (9, &[9]),
        ] {
            let mut versions = versions(&[(3, 1), (5, 2), (6, 0), (9, 1)]);
            versions.compact(at);
            assert_eq!(revisions(&versions), left, "{at}");
        }
    }
}
