//! The turns of a link: how much of it is handled before others have their turn.

use std::task::{Context, Poll};

use crate::route::serving::{BusyConnections, BusyPlace, TurnSize};

/// A frame costs so much less than a request on a gRPC connection, and its bytes half as much.
const FRAMES_PER_REQUEST: u32 = 32;
const BYTES_PER_BYTE: usize = 2;
/// While many connections are busy, turns are half as long, because clients open links as easily as
/// gRPC connections, and fill them with far more.
const REDUCED: u32 = 2;

/// The turns of a link.
#[derive(Debug)]
pub(super) struct LinkTurn {
    busy: BusyPlace,
    size: TurnSize,
    /// The frames that were handled, and the bytes that were read, in this turn.
    frames: u32,
    bytes: usize,
    is_over: bool,
    /// Whether others have had their turn since this one is over.
    has_yielded: bool,
}

impl LinkTurn {
    pub(super) fn new(all: &BusyConnections) -> Self {
        let busy = all.place();
        Self {
            size: busy.turn(),
            busy,
            frames: 0,
            bytes: 0,
            is_over: false,
            has_yielded: false,
        }
    }

    /// Returns the bytes to read in one turn.
    pub(super) const fn bytes(&self) -> usize {
        let bytes = BYTES_PER_BYTE * self.size.bytes;
        match self.size.is_reduced() {
            true => bytes / REDUCED as usize,
            false => bytes,
        }
    }

    /// Whether others have their turn first.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Counts bytes that were read.
    pub(super) fn note_read(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.is_over |= self.bytes >= self.bytes();
    }

    /// Counts one more frame, and returns true, unless the turn has had all of its frames.
    pub(super) fn takes_frame(&mut self) -> bool {
        let takes = self.frames < self.max_frames();
        match takes {
            true => self.frames += 1,
            false => self.is_over = true,
        }
        takes
    }

    const fn max_frames(&self) -> u32 {
        let frames = FRAMES_PER_REQUEST * self.size.requests;
        match self.size.is_reduced() {
            true => frames / REDUCED,
            false => frames,
        }
    }

    /// Nothing more has come, so others have their turn now; what comes next begins another one.
    pub(super) const fn rest(&mut self) {
        (self.frames, self.bytes) = (0, 0);
    }

    /// Notes whether the link has more to do than this turn allows, and may do it.
    pub(super) fn note_busy(&mut self, may_go_on: bool) {
        self.busy.set(self.is_over && may_go_on);
    }

    /// Ready when the others have had their turn.
    pub(super) fn poll_others(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Begins the next turn. Returns whether it has another size.
    pub(super) fn begin(&mut self) -> bool {
        let size = self.busy.turn();
        let has_changed = size != self.size;
        self.size = size;
        (self.frames, self.bytes) = (0, 0);
        (self.is_over, self.has_yielded) = (false, false);
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_turn_ends_after_its_frames_or_its_bytes_and_others_come_first() {
        let all = BusyConnections::default();
        let mut turn = LinkTurn::new(&all);
        let mut cx = Context::from_waker(Waker::noop());
        let frames = (0..).take_while(|_| turn.takes_frame()).count();
        assert_eq!(frames, 1024);
        assert!(turn.is_over());
        assert!(turn.poll_others(&mut cx).is_pending());
        assert!(turn.poll_others(&mut cx).is_ready());
        assert!(!turn.begin());
        assert!(turn.takes_frame() && !turn.is_over());
        turn.note_read(turn.bytes() - 1);
        assert!(!turn.is_over());
        turn.note_read(1);
        assert!(turn.is_over());
    }

    #[test]
    fn a_link_that_rests_between_its_requests_is_never_interrupted() {
        let mut turn = LinkTurn::new(&BusyConnections::default());
        for _ in 0..2_000 {
            assert!(turn.takes_frame());
            turn.note_read(turn.bytes() - 1);
            turn.rest();
        }
        assert!(!turn.is_over());
    }

    #[test]
    fn turns_shrink_while_many_have_more_to_do() {
        let all = BusyConnections::default();
        let mut turns: Vec<_> = (0..16).map(|_| LinkTurn::new(&all)).collect();
        for turn in &mut turns {
            turn.note_read(turn.bytes());
            turn.note_busy(true);
        }
        let mut turn = LinkTurn::new(&all);
        assert_eq!((0..).take_while(|_| turn.takes_frame()).count(), 128);
        assert_eq!(turn.bytes(), 16 * 1024);
        // Those that are held up are in nobody's way.
        for turn in &mut turns {
            turn.note_busy(false);
        }
        assert!(turn.begin());
        assert_eq!((0..).take_while(|_| turn.takes_frame()).count(), 1024);
    }
}
