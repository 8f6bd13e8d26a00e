//! The limit on what a mailbox holds.

/// The largest capacity of a mailbox. A queue that long holds minutes of work: a caller at its end
/// has given up.
pub const MAX_MAILBOX_CAPACITY: usize = 1 << 20;
