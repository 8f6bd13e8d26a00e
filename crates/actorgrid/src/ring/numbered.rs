//! A fixed number of numbered members, like the Go library's `ring`.

use std::num::NonZeroU32;

use prost::encoding::encode_varint;

use crate::message::ActorStart;
use crate::name::{Name, NameError};

/// The Go library hashes integers in a buffer of the longest varint's length, whatever their own.
const MAX_VARINT_LEN: usize = 10;

/// A fixed number of members, named `<name>-0`, `<name>-1` and so on, and the rule that decides
/// which of them a key belongs to.
///
/// The mapping is that of the Go library's `ring`, so that Rust and Go peers send the same key to
/// the same actor. It depends only on the key, the name and the number of members: the ring neither
/// starts its members nor knows whether they run. Changing the number of members moves almost every
/// key: where that matters and no Go peer needs to agree, use a [`Rendezvous`](crate::Rendezvous).
///
/// Pick one lookup method for a family of keys and keep to it: the same key under `by_u64` and
/// `by_hashed_u64`, or under `by_hashed_u64` and `by_hashed_i64`, belongs to different members.
/// Keys that come in steps (every tenth number, say) are spread evenly only by the hashed methods.
/// For a random member (`ByRandom` in Go) call [`by_u64`](Self::by_u64) with a random number.
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
    actor_type: Name,
    members: NonZeroU32,
}

impl Ring {
    /// Creates a ring of `members` members whose names begin with `name`.
    ///
    /// # Errors
    ///
    /// Returns [`NameError`] if `name` is not a valid name, or is so long that a member's name
    /// would not be valid.
    pub fn new(name: &str, members: NonZeroU32) -> Result<Self, NameError> {
        let name = Name::new(name)?;
        Self::of_type(name.clone(), name, members)
    }

    /// Creates a ring whose members have an actor type other than its name.
    pub(super) fn of_type(
        name: Name,
        actor_type: Name,
        members: NonZeroU32,
    ) -> Result<Self, NameError> {
        // The last member has the longest name.
        Name::new(name.numbered(members.get() - 1).as_str())?;
        Ok(Self {
            name,
            actor_type,
            members,
        })
    }

    /// Returns the common prefix of the members' names; `ID` in Go.
    #[must_use]
    #[doc(alias = "ID")]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the number of members.
    #[must_use]
    pub fn members(&self) -> NonZeroU32 {
        self.members
    }

    /// Returns the names of the members, in order.
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

    /// Returns the messages that start the members, in order: with the members' names, and with the
    /// ring's name as actor type (for a ring of a [`MultiRing`](crate::MultiRing), with the
    /// multi-ring's name). `Actors` in Go. Add data if the constructor needs it.
    ///
    /// ```no_run
    /// # use actorgrid::{BoxError, Client, Name, Ring};
    /// # async fn run(client: Client, peers: Vec<Name>, ring: Ring) -> Result<(), BoxError> {
    /// for (start, peer) in ring.starts().zip(peers.iter().cycle()) {
    ///     client.start(peer, start).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "Actors")]
    pub fn starts(&self) -> impl DoubleEndedIterator<Item = ActorStart> + ExactSizeIterator {
        self.names()
            .map(|name| ActorStart::new(name.as_str(), self.actor_type.as_str()))
    }

    /// Returns the member at `key mod n`; `ByInt`, `ByUint32` and `ByUint64` in Go. (For a negative
    /// key, Go's `ByInt` returns a name that no member has.)
    #[must_use]
    #[doc(alias("ByInt", "ByUint32", "ByUint64", "ByRandom"))]
    pub fn by_u64(&self, key: u64) -> Name {
        self.name.numbered(self.index_by_u64(key))
    }

    /// Returns the member for the hash of some bytes; `ByHashedBytes` in Go.
    #[must_use]
    #[doc(alias = "ByHashedBytes")]
    pub fn by_bytes(&self, key: &[u8]) -> Name {
        self.name.numbered(self.index_by_bytes(key))
    }

    /// Returns the member for the hash of a text; `ByHashedString` in Go.
    #[must_use]
    #[doc(alias = "ByHashedString")]
    pub fn by_str(&self, key: &str) -> Name {
        self.by_bytes(key.as_bytes())
    }

    /// Returns the member for the hash of an unsigned integer; `ByHashedUint32` and
    /// `ByHashedUint64` in Go.
    ///
    /// ```
    /// # use std::num::NonZeroU32;
    /// # use actorgrid::Ring;
    /// let ring = Ring::new("reader", const { NonZeroU32::new(7).unwrap() })?;
    /// assert_eq!(ring.by_hashed_u64(300).as_str(), "reader-1");
    /// # Ok::<(), actorgrid::NameError>(())
    /// ```
    #[must_use]
    #[doc(alias("ByHashedUint32", "ByHashedUint64"))]
    pub fn by_hashed_u64(&self, key: u64) -> Name {
        self.name.numbered(self.index_by_hashed_u64(key))
    }

    /// Returns the member for the hash of a signed integer; `ByHashedInt` in Go.
    ///
    /// ```
    /// # use std::num::NonZeroU32;
    /// # use actorgrid::Ring;
    /// let ring = Ring::new("reader", const { NonZeroU32::new(7).unwrap() })?;
    /// assert_eq!(ring.by_hashed_i64(-64).as_str(), "reader-4");
    /// # Ok::<(), actorgrid::NameError>(())
    /// ```
    #[must_use]
    #[doc(alias = "ByHashedInt")]
    pub fn by_hashed_i64(&self, key: i64) -> Name {
        self.name.numbered(self.index_by_hashed_i64(key))
    }

    /// Returns the number of the member that [`by_u64`](Self::by_u64) returns.
    #[must_use]
    pub fn index_by_u64(&self, key: u64) -> u32 {
        // The remainder by a 32-bit number fits in 32 bits.
        (key % u64::from(self.members.get())) as u32
    }

    /// Returns the number of the member that [`by_bytes`](Self::by_bytes) returns.
    #[must_use]
    pub fn index_by_bytes(&self, key: &[u8]) -> u32 {
        self.index_by_u64(fnv1(key))
    }

    /// Returns the number of the member that [`by_str`](Self::by_str) returns.
    #[must_use]
    pub fn index_by_str(&self, key: &str) -> u32 {
        self.index_by_bytes(key.as_bytes())
    }

    /// Returns the number of the member that [`by_hashed_u64`](Self::by_hashed_u64) returns.
    #[must_use]
    pub fn index_by_hashed_u64(&self, key: u64) -> u32 {
        let mut buffer = [0; MAX_VARINT_LEN];
        encode_varint(key, &mut buffer.as_mut_slice());
        self.index_by_bytes(&buffer)
    }

    /// Returns the number of the member that [`by_hashed_i64`](Self::by_hashed_i64) returns.
    #[must_use]
    pub fn index_by_hashed_i64(&self, key: i64) -> u32 {
        let zig_zag = ((key << 1) ^ (key >> 63)) as u64;
        self.index_by_hashed_u64(zig_zag)
    }
}

/// FNV-1, 64 bits: multiply, then xor. (FNV-1a does them in the opposite order.)
pub(super) fn fnv1(bytes: &[u8]) -> u64 {
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
    use proptest::prelude::*;

    fn ring(name: &str, members: u32) -> Ring {
        Ring::new(name, NonZeroU32::new(members).unwrap()).unwrap()
    }

    #[test]
    fn hashes_as_published() {
        // From the test vectors that the authors of the hash publish.
        for (bytes, hash) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_bd4c_8601_b7be),
            ("foobar", 0x340d_8765_a4dd_a9c2),
        ] {
            assert_eq!(fnv1(bytes.as_bytes()), hash, "{bytes}");
        }
    }

    // The values below were recorded from the Go library, version 3.2.15: for each key, its member
    // in rings of these sizes.
    const SIZES: [u32; 8] = [1, 2, 3, 7, 10, 100, 1000, 65_537];

    #[test]
    fn agrees_with_a_go_peer_on_signed_integers() {
        let seen: [(i64, [u32; 8]); 21] = [
            (0, [0, 1, 0, 2, 5, 5, 605, 27792]),
            (1, [0, 1, 0, 4, 5, 75, 975, 9657]),
            (-1, [0, 0, 2, 4, 8, 98, 98, 18725]),
            (2, [0, 1, 0, 6, 5, 45, 345, 57059]),
            (-2, [0, 0, 2, 6, 8, 68, 468, 590]),
            (63, [0, 1, 2, 4, 5, 55, 155, 55445]),
            (-64, [0, 0, 0, 4, 2, 32, 32, 46377]),
            (64, [0, 0, 0, 6, 6, 36, 36, 53164]),
            (-65, [0, 1, 0, 0, 1, 31, 731, 31424]),
            (127, [0, 0, 2, 1, 6, 86, 586, 15280]),
            (128, [0, 1, 0, 4, 3, 63, 263, 34156]),
            (300, [0, 1, 1, 5, 1, 1, 401, 60683]),
            (-300, [0, 0, 0, 5, 4, 64, 564, 19061]),
            (8191, [0, 0, 0, 3, 0, 20, 620, 34862]),
            (-8192, [0, 1, 1, 6, 5, 15, 215, 18502]),
            (8192, [0, 0, 2, 6, 6, 6, 506, 8105]),
            (1 << 31, [0, 1, 1, 5, 9, 69, 269, 57916]),
            (-(1 << 31), [0, 0, 0, 2, 2, 12, 412, 24075]),
            (1 << 32, [0, 1, 0, 6, 7, 77, 277, 6958]),
            (i64::MAX, [0, 0, 0, 6, 8, 38, 138, 767]),
            (i64::MIN, [0, 1, 1, 4, 7, 17, 217, 36149]),
        ];
        for (key, indices) in seen {
            for (members, index) in SIZES.into_iter().zip(indices) {
                let ring = ring("r", members);
                assert_eq!(ring.index_by_hashed_i64(key), index, "{key:?}, {members}");
                assert_eq!(ring.by_hashed_i64(key).as_str(), format!("r-{index}"));
            }
        }
    }

    #[test]
    fn agrees_with_a_go_peer_on_unsigned_integers() {
        let seen: [(u64, [u32; 8]); 14] = [
            (0, [0, 1, 0, 2, 5, 5, 605, 27792]),
            (1, [0, 0, 2, 4, 8, 98, 98, 18725]),
            (2, [0, 1, 0, 4, 5, 75, 975, 9657]),
            (127, [0, 0, 0, 4, 2, 32, 32, 46377]),
            (128, [0, 0, 0, 6, 6, 36, 36, 53164]),
            (255, [0, 1, 2, 2, 1, 81, 281, 59077]),
            (300, [0, 1, 1, 1, 1, 31, 331, 18893]),
            (16383, [0, 1, 1, 6, 5, 15, 215, 18502]),
            (16384, [0, 0, 2, 6, 6, 6, 506, 8105]),
            ((1 << 32) - 1, [0, 0, 0, 2, 2, 12, 412, 24075]),
            (1 << 32, [0, 1, 1, 5, 9, 69, 269, 57916]),
            ((1 << 63) - 1, [0, 0, 1, 4, 8, 8, 208, 13237]),
            (1 << 63, [0, 0, 1, 0, 4, 64, 164, 26496]),
            (u64::MAX, [0, 1, 1, 4, 7, 17, 217, 36149]),
        ];
        for (key, indices) in seen {
            for (members, index) in SIZES.into_iter().zip(indices) {
                let ring = ring("r", members);
                assert_eq!(ring.index_by_hashed_u64(key), index, "{key:?}, {members}");
                assert_eq!(ring.by_hashed_u64(key).as_str(), format!("r-{index}"));
            }
        }
    }

    #[test]
    fn agrees_with_a_go_peer_on_remainders() {
        let seen: [(u64, [u32; 8]); 8] = [
            (0, [0, 0, 0, 0, 0, 0, 0, 0]),
            (1, [0, 1, 1, 1, 1, 1, 1, 1]),
            (43, [0, 1, 1, 1, 3, 43, 43, 43]),
            (99999, [0, 1, 0, 4, 9, 99, 999, 34462]),
            ((1 << 32) - 1, [0, 1, 0, 3, 5, 95, 295, 0]),
            (1 << 32, [0, 0, 1, 4, 6, 96, 296, 1]),
            ((1 << 63) - 1, [0, 1, 1, 0, 7, 7, 807, 32768]),
            (u64::MAX, [0, 1, 0, 1, 5, 15, 615, 0]),
        ];
        for (key, indices) in seen {
            for (members, index) in SIZES.into_iter().zip(indices) {
                let ring = ring("r", members);
                assert_eq!(ring.index_by_u64(key), index, "{key:?}, {members}");
                assert_eq!(ring.by_u64(key).as_str(), format!("r-{index}"));
            }
        }
    }

    #[test]
    fn agrees_with_a_go_peer_on_texts() {
        let seen: [(&'static str, [u32; 8]); 11] = [
            ("", [0, 1, 2, 2, 7, 37, 37, 28662]),
            ("a", [0, 0, 0, 5, 2, 22, 422, 16294]),
            ("0", [0, 1, 1, 5, 1, 71, 471, 16343]),
            ("foobar", [0, 0, 2, 5, 4, 94, 194, 22589]),
            ("group-0", [0, 1, 1, 5, 7, 37, 137, 62439]),
            ("group-1", [0, 0, 0, 4, 6, 36, 136, 62438]),
            ("key-12345", [0, 0, 2, 2, 0, 0, 900, 23108]),
            ("naïve", [0, 1, 2, 5, 1, 11, 311, 1802]),
            ("日本語", [0, 1, 2, 5, 3, 3, 403, 14262]),
            ("a\0b", [0, 0, 0, 0, 6, 96, 796, 36505]),
            (
                "The quick brown fox jumps over the lazy dog",
                [0, 0, 2, 3, 6, 26, 726, 18250],
            ),
        ];
        for (key, indices) in seen {
            for (members, index) in SIZES.into_iter().zip(indices) {
                let ring = ring("r", members);
                assert_eq!(ring.index_by_str(key), index, "{key:?}, {members}");
                assert_eq!(ring.by_str(key).as_str(), format!("r-{index}"));
                assert_eq!(ring.index_by_bytes(key.as_bytes()), index);
            }
        }
    }

    #[test]
    fn agrees_with_a_go_peer_on_bytes() {
        let seen: [(&'static [u8], [u32; 8]); 7] = [
            (&[], [0, 1, 2, 2, 7, 37, 37, 28662]),
            (&[0], [0, 1, 0, 3, 5, 55, 455, 16327]),
            (&[0, 0], [0, 1, 1, 5, 9, 89, 389, 15063]),
            (&[255], [0, 0, 1, 1, 4, 64, 264, 16136]),
            (&[255, 254, 0, 128], [0, 0, 2, 2, 6, 46, 846, 44892]),
            (&[128, 1], [0, 0, 1, 5, 0, 80, 380, 57688]),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 0, 2, 1, 8, 38, 38, 40764]),
        ];
        for (key, indices) in seen {
            for (members, index) in SIZES.into_iter().zip(indices) {
                let ring = ring("r", members);
                assert_eq!(ring.index_by_bytes(key), index, "{key:?}, {members}");
                assert_eq!(ring.by_bytes(key).as_str(), format!("r-{index}"));
            }
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
    fn starts_its_members() {
        let ring = ring("reader", 2);
        let starts: Vec<_> = ring.starts().collect();
        let expected = [
            ActorStart::new("reader-0", "reader"),
            ActorStart::new("reader-1", "reader"),
        ];
        assert_eq!(starts, expected);
        let (name, actor_type) = (Name::new("a").unwrap(), Name::new("b").unwrap());
        let typed = Ring::of_type(name, actor_type, NonZeroU32::MIN).unwrap();
        assert!(typed.starts().eq([ActorStart::new("a-0", "b")]));
    }

    proptest! {
        #[test]
        fn every_way_leads_to_a_member(
            members in any::<NonZeroU32>(),
            shift in 0_u32..32,
            key in any::<u64>(),
            text in ".{0,20}",
        ) {
            let members = NonZeroU32::new(members.get() >> shift).unwrap_or(NonZeroU32::MIN);
            let ring = Ring::new("r", members).unwrap();
            let signed = key as i64;
            let ways = [
                (ring.index_by_u64(key), ring.by_u64(key)),
                (ring.index_by_str(&text), ring.by_str(&text)),
                (ring.index_by_bytes(text.as_bytes()), ring.by_bytes(text.as_bytes())),
                (ring.index_by_hashed_u64(key), ring.by_hashed_u64(key)),
                (ring.index_by_hashed_i64(signed), ring.by_hashed_i64(signed)),
            ];
            for (index, name) in ways {
                prop_assert!(index < members.get());
                prop_assert_eq!(name.to_string(), format!("r-{index}"));
            }
            prop_assert_eq!(ring.by_str(&text), ring.by_bytes(text.as_bytes()));
        }

        /// Signed integers are hashed as the unsigned ones 0, -1, 1, -2, 2 and so on.
        #[test]
        fn signed_integers_zig_and_zag(key in any::<u64>(), members in any::<NonZeroU32>()) {
            let ring = Ring::new("r", members).unwrap();
            let half = (key / 2) as i64;
            let signed = if key % 2 == 0 { half } else { -1 - half };
            prop_assert_eq!(ring.index_by_hashed_i64(signed), ring.index_by_hashed_u64(key));
        }
    }

    #[test]
    fn rejects_a_name_that_is_too_long_for_a_member() {
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
