//! A fixed number of numbered rings, like the Go library's `MultiRing`.

use std::num::{NonZeroU32, NonZeroU64};

use super::error::RingError;
use super::limits::MAX_RINGS;
use super::numbered::{Ring, fnv1};
use crate::name::Name;

/// A fixed number of [`Ring`]s, named `<name>-0`, `<name>-1` and so on, and the rule that decides
/// which of them a key belongs to. The mapping is that of the Go library's `MultiRing`.
///
/// Members are named `<name>-<ring>-<member>`, and all have the actor type `<name>`. The last rings
/// can be reserved: only [`by_reserved_str`](Self::by_reserved_str) and
/// [`by_reserved_bytes`](Self::by_reserved_bytes) return them, and the other lookups never do.
///
/// A ring is picked by the key's FNV-1 hash, so do not pick its member by the hash of the same key:
/// if the number of members and the number of rings have a common divisor, some members would never
/// get a key. Use another kind of key for the members.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use actorgrid::MultiRing;
///
/// let two = const { NonZeroU32::new(2).unwrap() };
/// let twenty = const { NonZeroU32::new(20).unwrap() };
/// let rings = MultiRing::new("reader", two, twenty, 0)?;
/// let ring = rings.by_str("group-0");
/// assert_eq!(ring.name().as_str(), "reader-17");
/// assert_eq!(ring.by_u64(5).as_str(), "reader-17-1");
///
/// // The starts of all members.
/// let starts: Vec<_> = rings.rings().iter().flat_map(|ring| ring.starts()).collect();
/// assert_eq!(starts.len(), 40);
/// # Ok::<(), actorgrid::RingError>(())
/// ```
#[doc(alias = "NewMultiRing")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MultiRing {
    name: Name,
    /// The reserved rings come last.
    rings: Vec<Ring>,
    /// The number of rings that are not reserved, and of those that are.
    open: NonZeroU64,
    reserved: Option<NonZeroU64>,
}

impl MultiRing {
    /// Creates `rings` rings of `members` members each; the last `reserved` of them are reserved.
    ///
    /// # Errors
    ///
    /// Returns [`RingError`] if the name is not valid, or so long that a member's name would not be
    /// valid; if `reserved` is not less than `rings` (the Go library panics on a lookup then); or
    /// if there are more than [`MAX_RINGS`] rings.
    pub fn new(
        name: &str,
        members: NonZeroU32,
        rings: NonZeroU32,
        reserved: u32,
    ) -> Result<Self, RingError> {
        let all_reserved = RingError::AllReserved {
            rings: rings.get(),
            reserved,
        };
        let open = rings.get().checked_sub(reserved).map(u64::from);
        let open = open.and_then(NonZeroU64::new).ok_or(all_reserved)?;
        if rings.get() > MAX_RINGS {
            return Err(RingError::TooManyRings(rings.get()));
        }
        let name = Name::new(name)?;
        let ring = |index| Ring::of_type(name.numbered(index), name.clone(), members);
        // The last ring has the longest name.
        let last = ring(rings.get() - 1)?;
        let mut rings: Vec<Ring> = (0..rings.get() - 1).map(ring).collect::<Result<_, _>>()?;
        rings.push(last);
        Ok(Self {
            name,
            rings,
            open,
            reserved: NonZeroU64::new(u64::from(reserved)),
        })
    }

    /// Returns the common prefix of the rings' names; it is also the actor type of all members.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the rings, in order; the reserved ones come last.
    #[must_use]
    #[doc(alias = "Rings")]
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// Returns the reserved rings; empty if no ring is reserved.
    #[must_use]
    pub fn reserved(&self) -> &[Ring] {
        &self.rings[self.open.get() as usize..]
    }

    /// Returns the unreserved ring for the hash of a text; `ByHashedString` in Go.
    #[must_use]
    #[doc(alias = "ByHashedString")]
    pub fn by_str(&self, key: &str) -> &Ring {
        self.by_bytes(key.as_bytes())
    }

    /// Returns the unreserved ring for the hash of some bytes; the same as [`by_str`](Self::by_str)
    /// for a text with these bytes.
    #[must_use]
    pub fn by_bytes(&self, key: &[u8]) -> &Ring {
        &self.rings[(fnv1(key) % self.open) as usize]
    }

    /// Returns the reserved ring for the hash of a text; `None` if no ring is reserved (the Go
    /// library panics then). `ByReservedHashedString` in Go.
    #[must_use]
    #[doc(alias = "ByReservedHashedString")]
    pub fn by_reserved_str(&self, key: &str) -> Option<&Ring> {
        self.by_reserved_bytes(key.as_bytes())
    }

    /// Returns the reserved ring for the hash of some bytes; `None` if no ring is reserved.
    #[must_use]
    pub fn by_reserved_bytes(&self, key: &[u8]) -> Option<&Ring> {
        // Go takes the remainder of the unsigned hash, too.
        let index = fnv1(key) % self.reserved?;
        self.reserved().get(index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{MAX_NAME_LEN, NameError};
    use proptest::prelude::*;

    fn non_zero(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn multi(members: u32, rings: u32, reserved: u32) -> MultiRing {
        MultiRing::new("reader", non_zero(members), non_zero(rings), reserved).unwrap()
    }

    /// Recorded from the Go library, version 3.2.15: members, rings and reserved rings; then for
    /// each key its ring and its reserved ring.
    type RecordedFromGo = (u32, u32, u32, [(&'static str, u32, Option<u32>); 7]);
    const RECORDED_FROM_GO: [RecordedFromGo; 5] = [
        (
            2,
            20,
            0,
            [
                ("", 17, None),
                ("group-0", 17, None),
                ("group-1", 16, None),
                ("group-2", 19, None),
                ("group-3", 18, None),
                ("group-4", 1, None),
                ("日本語", 3, None),
            ],
        ),
        (
            2,
            20,
            5,
            [
                ("", 2, Some(17)),
                ("group-0", 7, Some(17)),
                ("group-1", 6, Some(16)),
                ("group-2", 9, Some(19)),
                ("group-3", 8, Some(18)),
                ("group-4", 11, Some(16)),
                ("日本語", 8, Some(18)),
            ],
        ),
        (
            3,
            10,
            1,
            [
                ("", 5, Some(9)),
                ("group-0", 1, Some(9)),
                ("group-1", 0, Some(9)),
                ("group-2", 3, Some(9)),
                ("group-3", 2, Some(9)),
                ("group-4", 5, Some(9)),
                ("日本語", 5, Some(9)),
            ],
        ),
        (
            1,
            7,
            6,
            [
                ("", 0, Some(6)),
                ("group-0", 0, Some(2)),
                ("group-1", 0, Some(1)),
                ("group-2", 0, Some(4)),
                ("group-3", 0, Some(3)),
                ("group-4", 0, Some(6)),
                ("日本語", 0, Some(6)),
            ],
        ),
        (
            2,
            100,
            37,
            [
                ("", 23, Some(93)),
                ("group-0", 19, Some(92)),
                ("group-1", 18, Some(91)),
                ("group-2", 21, Some(94)),
                ("group-3", 20, Some(93)),
                ("group-4", 23, Some(96)),
                ("日本語", 5, Some(85)),
            ],
        ),
    ];

    #[test]
    fn agrees_with_a_go_peer() {
        for (members, rings, reserved, keys) in RECORDED_FROM_GO {
            let multi = multi(members, rings, reserved);
            let named = |ring: &Ring| ring.name().to_string();
            for (key, ring, reserved_ring) in keys {
                assert_eq!(named(multi.by_str(key)), format!("reader-{ring}"), "{key}");
                let reserved_ring = reserved_ring.map(|ring| format!("reader-{ring}"));
                assert_eq!(
                    multi.by_reserved_str(key).map(named),
                    reserved_ring,
                    "{key}"
                );
            }
            let last = multi.rings().last().unwrap().starts().next_back().unwrap();
            let name = format!("reader-{}-{}", rings - 1, members - 1);
            assert_eq!((last.name(), last.actor_type()), (&*name, "reader"));
        }
    }

    #[test]
    fn names_its_rings_and_their_members() {
        let multi = multi(2, 3, 1);
        let starts: Vec<_> = multi.rings().iter().flat_map(Ring::starts).collect();
        let names: Vec<_> = starts.iter().map(|start| start.name()).collect();
        let expected = [
            "reader-0-0",
            "reader-0-1",
            "reader-1-0",
            "reader-1-1",
            "reader-2-0",
            "reader-2-1",
        ];
        assert_eq!(names, expected);
        assert!(starts.iter().all(|start| start.actor_type() == "reader"));
        assert_eq!(multi.name().as_str(), "reader");
        assert_eq!(multi.reserved(), &multi.rings()[2..]);
        assert_eq!(multi.rings()[2].name().as_str(), "reader-2");
        assert_eq!(multi.rings()[2].members().get(), 2);
        assert!(self::multi(2, 3, 0).reserved().is_empty());
    }

    #[test]
    fn rejects_impossible_rings() {
        let new = |name: &str, members, rings, reserved| {
            MultiRing::new(name, non_zero(members), non_zero(rings), reserved).map(|_| ())
        };
        for reserved in [3, 4, u32::MAX] {
            let all = RingError::AllReserved { rings: 3, reserved };
            assert_eq!(new("r", 1, 3, reserved), Err(all));
        }
        assert_eq!(new("r", 1, 3, 2), Ok(()));
        assert_eq!(new("r", u32::MAX, MAX_RINGS, 0), Ok(()));
        let too_many = MAX_RINGS + 1;
        let refused = Err(RingError::TooManyRings(too_many));
        assert_eq!(new("r", 1, too_many, 0), refused);
        assert_eq!(new("", 1, 1, 0), Err(RingError::Name(NameError::Empty)));
        let too_long = |length| Err(RingError::Name(NameError::TooLong(length)));
        let name = "a".repeat(MAX_NAME_LEN - 5);
        assert_eq!(new(&name, 10, 100, 0), Ok(()));
        assert_eq!(new(&name, 11, 100, 0), too_long(MAX_NAME_LEN + 1));
        assert_eq!(new(&name, 10, 101, 0), too_long(MAX_NAME_LEN + 1));
        let longest = "a".repeat(MAX_NAME_LEN);
        assert!(matches!(new(&longest, 1, 1, 0), Err(RingError::Name(_))));
    }

    proptest! {
        #[test]
        fn keys_meet_reserved_rings_only_where_they_ask_for_them(
            key in ".{0,20}",
            rings in 1_u32..50,
            reserved in 0_u32..50,
        ) {
            let reserved = reserved % rings;
            let multi = multi(1, rings, reserved);
            prop_assert_eq!(multi.by_str(&key), multi.by_bytes(key.as_bytes()));
            prop_assert!(!multi.reserved().contains(multi.by_str(&key)));
            prop_assert_eq!(multi.reserved().len(), reserved as usize);
            match multi.by_reserved_str(&key) {
                Some(ring) => {
                    prop_assert!(multi.reserved().contains(ring));
                    prop_assert_eq!(Some(ring), multi.by_reserved_bytes(key.as_bytes()));
                }
                None => prop_assert_eq!(reserved, 0),
            }
        }
    }
}
