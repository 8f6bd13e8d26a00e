//! The ring of the Go library: which member of a numbered family of names a key belongs to.

use std::num::NonZeroU32;

use prost::encoding::encode_varint;

use crate::name::{Name, NameError};

/// The Go library hashes integers in a buffer of the longest varint, whatever their length.
const MAX_VARINT_LEN: usize = 10;

/// A fixed number of members, named `<name>-0`, `<name>-1` and so on, and the rule that says which
/// of them a key belongs to.
///
/// It is the mapping of the Go library's `ring`, so that Rust and Go peers send the same key to
/// the same actor. It is a function of the key, the name and the number of members alone: the
/// ring neither starts its members nor knows whether they run. Another number of members moves
/// almost every key.
///
/// Pick one way for a family of keys and keep to it: the same key under `by_u64` and
/// `by_hashed_u64`, or under `by_hashed_u64` and `by_hashed_i64`, belongs to different members.
/// Keys that come in steps (every tenth number, say) are spread evenly by the hashed ways only.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use actorgrid::Ring;
///
/// let ring = Ring::new("reader", const { NonZeroU32::new(20).unwrap() })?;
/// assert_eq!(ring.by_str("group-0").as_str(), "reader-17");
/// assert_eq!(ring.by_u64(43).as_str(), "reader-3");
/// # Ok::<(), actorgrid::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ring {
    name: Name,
    members: NonZeroU32,
}

impl Ring {
    /// A ring of `members` members whose names begin with `name`.
    ///
    /// # Errors
    ///
    /// [`NameError`] when `name` is not a valid name, or is so long that the name of a member
    /// would not be one.
    pub fn new(name: &str, members: NonZeroU32) -> Result<Self, NameError> {
        let name = Name::new(name)?;
        // No member has a longer name than the last one.
        Name::new(name.numbered(members.get() - 1).as_str())?;
        Ok(Self { name, members })
    }

    /// What the names of the members begin with.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The number of members.
    #[must_use]
    pub fn members(&self) -> NonZeroU32 {
        self.members
    }

    /// The names of the members, in their order.
    ///
    /// ```
    /// # use std::num::NonZeroU32;
    /// # use actorgrid::Ring;
    /// let ring = Ring::new("reader", const { NonZeroU32::new(2).unwrap() })?;
    /// let names: Vec<_> = ring.names().map(|name| name.to_string()).collect();
    /// assert_eq!(names, ["reader-0", "reader-1"]);
    /// # Ok::<(), actorgrid::NameError>(())
    /// ```
    pub fn names(&self) -> impl DoubleEndedIterator<Item = Name> + ExactSizeIterator {
        (0..self.members.get()).map(|index| self.name.numbered(index))
    }

    /// The member at `key mod n`; `ByInt`, `ByUint32` and `ByUint64` in Go (whose `ByInt` makes
    /// names that no member has of negative keys).
    #[must_use]
    pub fn by_u64(&self, key: u64) -> Name {
        self.name.numbered(self.index_by_u64(key))
    }

    /// The member for the hash of some bytes; `ByHashedBytes` in Go.
    #[must_use]
    pub fn by_bytes(&self, key: &[u8]) -> Name {
        self.name.numbered(self.index_by_bytes(key))
    }

    /// The member for the hash of a text; `ByHashedString` in Go.
    #[must_use]
    pub fn by_str(&self, key: &str) -> Name {
        self.by_bytes(key.as_bytes())
    }

    /// The member for the hash of an unsigned integer; `ByHashedUint32` and `ByHashedUint64` in Go.
    ///
    /// ```
    /// # use std::num::NonZeroU32;
    /// # use actorgrid::Ring;
    /// let ring = Ring::new("reader", const { NonZeroU32::new(7).unwrap() })?;
    /// assert_eq!(ring.by_hashed_u64(300).as_str(), "reader-1");
    /// # Ok::<(), actorgrid::NameError>(())
    /// ```
    #[must_use]
    pub fn by_hashed_u64(&self, key: u64) -> Name {
        self.name.numbered(self.index_by_hashed_u64(key))
    }

    /// The member for the hash of a signed integer; `ByHashedInt` in Go.
    ///
    /// ```
    /// # use std::num::NonZeroU32;
    /// # use actorgrid::Ring;
    /// let ring = Ring::new("reader", const { NonZeroU32::new(7).unwrap() })?;
    /// assert_eq!(ring.by_hashed_i64(-64).as_str(), "reader-4");
    /// # Ok::<(), actorgrid::NameError>(())
    /// ```
    #[must_use]
    pub fn by_hashed_i64(&self, key: i64) -> Name {
        self.name.numbered(self.index_by_hashed_i64(key))
    }

    /// The number of the member that [`by_u64`](Self::by_u64) names.
    #[must_use]
    pub fn index_by_u64(&self, key: u64) -> u32 {
        // The remainder of a 32-bit number fits in one.
        (key % u64::from(self.members.get())) as u32
    }

    /// The number of the member that [`by_bytes`](Self::by_bytes) names.
    #[must_use]
    pub fn index_by_bytes(&self, key: &[u8]) -> u32 {
        self.index_by_u64(fnv1(key))
    }

    /// The number of the member that [`by_str`](Self::by_str) names.
    #[must_use]
    pub fn index_by_str(&self, key: &str) -> u32 {
        self.index_by_bytes(key.as_bytes())
    }

    /// The number of the member that [`by_hashed_u64`](Self::by_hashed_u64) names.
    #[must_use]
    pub fn index_by_hashed_u64(&self, key: u64) -> u32 {
        let mut buffer = [0; MAX_VARINT_LEN];
        encode_varint(key, &mut buffer.as_mut_slice());
        self.index_by_bytes(&buffer)
    }

    /// The number of the member that [`by_hashed_i64`](Self::by_hashed_i64) names.
    #[must_use]
    pub fn index_by_hashed_i64(&self, key: i64) -> u32 {
        let zig_zag = ((key << 1) ^ (key >> 63)) as u64;
        self.index_by_hashed_u64(zig_zag)
    }
}

/// FNV-1, 64 bits: multiply, then xor. (FNV-1a does it the other way round.)
fn fnv1(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| {
        hash.wrapping_mul(PRIME) ^ u64::from(*byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::MAX_NAME_LEN;

    fn ring(name: &str, members: u32) -> Ring {
        Ring::new(name, NonZeroU32::new(members).unwrap()).unwrap()
    }

    #[test]
    fn agrees_with_a_go_peer_on_texts() {
        // Seen in the Go library's multi-ring of 20 rings, none of them reserved.
        let ring = ring("reader", 20);
        for (key, index) in [
            ("group-0", 17),
            ("group-1", 16),
            ("group-2", 19),
            ("group-3", 18),
            ("group-4", 1),
        ] {
            let name = Name::new(&format!("reader-{index}")).unwrap();
            assert_eq!(ring.index_by_str(key), index);
            assert_eq!(ring.index_by_bytes(key.as_bytes()), index);
            assert_eq!(ring.by_str(key), name);
            assert_eq!(ring.by_bytes(key.as_bytes()), name);
        }
    }

    #[test]
    fn hashes_as_published() {
        // From the list of test vectors of the hash's authors.
        for (bytes, hash) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_bd4c_8601_b7be),
            ("foobar", 0x340d_8765_a4dd_a9c2),
        ] {
            assert_eq!(fnv1(bytes.as_bytes()), hash, "{bytes}");
        }
    }

    #[test]
    fn hashes_integers_as_padded_varints() {
        let ring = ring("r", 1000);
        for (key, index) in [
            (0, 605),
            (1, 98),
            (127, 32),
            (128, 36),
            (300, 331),
            (1 << 32, 269),
            (u64::MAX, 217),
        ] {
            assert_eq!(ring.index_by_hashed_u64(key), index, "{key}");
            assert_eq!(ring.by_hashed_u64(key).as_str(), format!("r-{index}"));
        }
        for (key, index) in [
            (0, 605),
            (-1, 98),
            (1, 975),
            (-64, 32),
            (64, 36),
            (i64::MIN, 217),
            (i64::MAX, 138),
        ] {
            assert_eq!(ring.index_by_hashed_i64(key), index, "{key}");
            assert_eq!(ring.by_hashed_i64(key).as_str(), format!("r-{index}"));
        }
    }

    #[test]
    fn takes_integers_modulo_its_size() {
        let ten = ring("r", 10);
        for (key, index) in [(0, 0), (9, 9), (10, 0), (43, 3), (u64::MAX, 5)] {
            assert_eq!(ten.index_by_u64(key), index, "{key}");
            assert_eq!(ten.by_u64(key).as_str(), format!("r-{index}"));
        }
        assert_eq!(ring("r", 1).index_by_u64(u64::MAX), 0);
        let greatest = ring("r", u32::MAX);
        assert_eq!(greatest.index_by_u64(u64::from(u32::MAX) - 1), u32::MAX - 1);
        assert_eq!(greatest.index_by_u64(u64::from(u32::MAX) + 6), 6);
    }

    #[test]
    fn names_its_members() {
        let ring = ring("reader", 3);
        let names: Vec<_> = ring.names().map(|name| name.to_string()).collect();
        assert_eq!(names, ["reader-0", "reader-1", "reader-2"]);
        assert_eq!(ring.name().as_str(), "reader");
        assert_eq!(ring.members().get(), 3);
    }

    #[test]
    fn refuses_a_name_that_a_member_could_not_bear() {
        let new = |name: &str, members| Ring::new(name, NonZeroU32::new(members).unwrap());
        assert_eq!(new("", 1), Err(NameError::Empty));
        assert!(matches!(
            new("a.b", 1),
            Err(NameError::Character {
                character: '.',
                at: 1
            })
        ));
        let name = "a".repeat(MAX_NAME_LEN - 2);
        assert!(new(&name, 10).is_ok());
        assert_eq!(new(&name, 11), Err(NameError::TooLong(MAX_NAME_LEN + 1)));
    }
}
