//! The limit on the capacity of a mailbox.

/// The largest capacity of a mailbox. A queue this long holds minutes of work: a caller at its end
/// has stopped waiting long before its turn.
pub const MAX_MAILBOX_CAPACITY: usize = 1 << 20;
