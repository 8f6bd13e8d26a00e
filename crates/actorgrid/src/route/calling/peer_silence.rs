//! Whether the peer of a connection still sends anything. Pure.

use std::time::Duration;

/// The time between two looks at a connection.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A peer of ours is considered dead after this many looks without a byte: 2.5 s, so that calls to
/// it end within 3 s. It was probed after the first second. Looks count rather than time: a process
/// that was itself stopped, or got no processor, must not blame its peers.
const DEAD_AFTER_LOOKS: u32 = 10;
/// The same, if so much was written since the last byte arrived that the probe may still be queued
/// behind it: 7 s, in which even a slow path drains what a socket and HTTP/2 buffer.
const DEAD_AFTER_LOOKS_WITH_BACKLOG: u32 = 28;
const BACKLOG_BYTES: usize = 64 * 1024;

/// Follows one connection from look to look.
#[derive(Debug, Default)]
pub(super) struct PeerSilence {
    heard: usize,
    /// How much had been written when the peer was last heard.
    written: usize,
    looks: u32,
}

impl PeerSilence {
    /// Takes a look. `heard` grows with the bytes that the peer sends, `written` with those that
    /// were written to it. Returns whether the peer is dead.
    pub(super) fn look(&mut self, heard: usize, written: usize) -> bool {
        if heard == self.heard {
            self.looks += 1;
        } else {
            self.heard = heard;
            self.written = written;
            self.looks = 0;
        }
        match written.wrapping_sub(self.written) > BACKLOG_BYTES {
            true => self.looks >= DEAD_AFTER_LOOKS_WITH_BACKLOG,
            false => self.looks >= DEAD_AFTER_LOOKS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_dead_after_ten_silent_looks_and_any_byte_shows_that_it_is_not() {
        let mut silence = PeerSilence::default();
        for heard in 1..5 {
            let looks: Vec<_> = (0..10).map(|_| silence.look(heard, 0)).collect();
            assert_eq!(looks, [false; 10]);
        }
        assert!(silence.look(4, 0));
    }

    #[test]
    fn a_probe_behind_much_else_has_more_time() {
        let mut silence = PeerSilence::default();
        assert!(!silence.look(1, 100));
        let looks: Vec<_> = (0..28)
            .map(|_| silence.look(1, 101 + BACKLOG_BYTES))
            .collect();
        assert_eq!(looks.iter().position(|dead| *dead), Some(27));
    }
}
