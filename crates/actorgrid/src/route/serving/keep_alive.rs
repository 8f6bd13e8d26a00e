//! Whether the client of a connection is still there. Pure.

use std::time::Duration;

/// The time between two looks at a connection.
pub(in crate::route) const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// A silent client is pinged after this many looks without a byte: 10 s.
const ASK_AFTER_LOOKS: u32 = 2;
/// It is considered dead after this many: 5 s later.
const DEAD_AFTER_LOOKS: u32 = 3;
/// A connection whose client accepts none of the bytes that wait for it is closed after this many
/// looks: at least 5 s. The client cannot be pinged, because the ping would wait behind those
/// bytes.
const STUCK_AFTER_LOOKS: u32 = 1;

/// The state of a connection at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::route) struct Look {
    pub(in crate::route) bytes_read: u64,
    pub(in crate::route) bytes_written: u64,
    pub(in crate::route) is_write_blocked: bool,
    /// Whether the connection's own bounds keep it from being read.
    pub(in crate::route) is_throttled: bool,
}

/// The consequence of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::route) enum KeepAliveStep {
    Nothing,
    /// Ping the client.
    Ask,
    /// Close the connection: the client is gone, or does not read.
    Close(&'static str),
}

/// Follows one connection from look to look.
#[derive(Debug, Default)]
pub(in crate::route) struct KeepAlive {
    bytes_read: u64,
    bytes_written: u64,
    without_read: u32,
    without_write: u32,
    was_write_blocked: bool,
}

impl KeepAlive {
    pub(in crate::route) fn look(&mut self, look: Look) -> KeepAliveStep {
        let has_read = look.bytes_read != self.bytes_read || look.is_throttled;
        let was_blocked = std::mem::replace(&mut self.was_write_blocked, look.is_write_blocked);
        let is_blocked = was_blocked && look.is_write_blocked;
        let has_written = look.bytes_written != self.bytes_written || !is_blocked;
        self.bytes_read = look.bytes_read;
        self.bytes_written = look.bytes_written;
        self.without_read = if has_read { 0 } else { self.without_read + 1 };
        self.without_write = if has_written {
            0
        } else {
            self.without_write + 1
        };
        if self.without_write >= STUCK_AFTER_LOOKS {
            return KeepAliveStep::Close("its client does not read");
        }
        match self.without_read {
            ASK_AFTER_LOOKS => KeepAliveStep::Ask,
            DEAD_AFTER_LOOKS.. => KeepAliveStep::Close("its client does not answer"),
            _ => KeepAliveStep::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeepAliveStep::{Ask, Close, Nothing};

    const LIVE: Look = Look {
        bytes_read: 1,
        bytes_written: 1,
        is_write_blocked: false,
        is_throttled: false,
    };

    #[test]
    fn a_silent_client_is_asked_after_10_s_and_dead_5_s_later() {
        let mut alive = KeepAlive::default();
        assert_eq!(alive.look(LIVE), Nothing);
        let steps: Vec<_> = (0..3).map(|_| alive.look(LIVE)).collect();
        assert_eq!(steps, [Nothing, Ask, Close("its client does not answer")]);
    }

    #[test]
    fn any_byte_shows_that_a_client_is_there() {
        let mut alive = KeepAlive::default();
        for bytes_read in 1..100 {
            let look = Look { bytes_read, ..LIVE };
            let steps: Vec<_> = (0..3).map(|_| alive.look(look)).collect();
            assert_eq!(steps, [Nothing, Nothing, Ask]);
        }
    }

    #[test]
    fn a_throttled_client_is_not_mistaken_for_silent() {
        let mut alive = KeepAlive::default();
        let throttled = Look {
            is_throttled: true,
            ..LIVE
        };
        for _ in 0..100 {
            assert_eq!(alive.look(throttled), Nothing);
        }
    }

    #[test]
    fn a_client_that_reads_nothing_is_closed_after_5_s() {
        let mut alive = KeepAlive::default();
        let blocked = |bytes_written, bytes_read| Look {
            is_write_blocked: true,
            bytes_written,
            // It may still send.
            bytes_read,
            ..LIVE
        };
        assert_eq!(alive.look(blocked(1, 1)), Nothing);
        assert_eq!(alive.look(blocked(2, 2)), Nothing);
        assert_eq!(alive.look(blocked(2, 3)), Close("its client does not read"));
    }

    #[test]
    fn a_client_that_was_just_blocked_has_time_to_read() {
        let mut alive = KeepAlive::default();
        assert_eq!(alive.look(LIVE), Nothing);
        let blocked = Look {
            is_write_blocked: true,
            bytes_read: 2,
            ..LIVE
        };
        assert_eq!(alive.look(blocked), Nothing);
        assert_eq!(alive.look(blocked), Close("its client does not read"));
    }

    #[test]
    fn a_client_that_reads_slowly_is_kept() {
        let mut alive = KeepAlive::default();
        for bytes in 1..100 {
            let look = Look {
                is_write_blocked: true,
                bytes_written: bytes,
                bytes_read: bytes,
                ..LIVE
            };
            assert_eq!(alive.look(look), Nothing);
        }
    }
}
