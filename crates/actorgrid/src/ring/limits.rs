//! The limits of rings.

/// The largest number of rings in a [`MultiRing`](super::MultiRing). Rings are stored, because they
/// are returned by reference: some 64 bytes each, so a few megabytes at most. Members are not
/// stored, so their number costs nothing.
pub const MAX_RINGS: u32 = 1 << 16;
