//! The limits of rings.

/// The most rings of a [`MultiRing`](super::MultiRing). They are stored, as they are handed out by
/// reference: some 64 bytes each, so a few megabytes. Their members are not stored, so their number
/// costs nothing.
pub const MAX_RINGS: u32 = 1 << 16;
