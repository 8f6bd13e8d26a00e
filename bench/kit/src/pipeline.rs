//! A closed loop for connections that answer in order, driven by one task.

use std::collections::VecDeque;
use std::time::Instant;

use crate::tally::Tally;
use crate::window::Window;

/// Which requests of a pipeline are unanswered, and whether to send another.
///
/// It does no I/O: who drives it sends a request for each that it asks for.
#[derive(Debug)]
pub struct Pipeline {
    window: Window,
    expected: usize,
    sent: VecDeque<Instant>,
    tally: Tally,
}

impl Pipeline {
    /// A pipeline whose answers must have this length.
    #[must_use]
    pub fn new(window: Window, expected: usize) -> Self {
        Self {
            window,
            expected,
            sent: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// A request is sent.
    pub fn sends(&mut self, now: Instant) {
        self.sent.push_back(now);
    }

    /// The oldest request is answered. Returns whether to send another, which then counts as sent.
    pub fn answered(&mut self, now: Instant, length: usize) -> bool {
        let Some(sent) = self.sent.pop_front() else {
            self.tally.failed(&"an answer without a request");
            return false;
        };
        if length != self.expected {
            let expected = self.expected;
            self.tally
                .failed(&format!("an answer of {length} bytes, not {expected}"));
        } else if self.window.contains(now) {
            self.tally.answered(now - sent);
        }
        let goes_on = now < self.window.end;
        if goes_on {
            self.sends(now);
        }
        goes_on
    }

    /// Whether nothing is unanswered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Ends it: what is unanswered has failed for this reason.
    #[must_use]
    pub fn end(mut self, reason: &dyn std::fmt::Display) -> Tally {
        for _ in self.sent.drain(..) {
            self.tally.failed(reason);
        }
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_answer_asks_for_a_request_until_the_end() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let window = Window {
            begin: at(10),
            end: at(20),
        };
        let mut pipeline = Pipeline::new(window, 70);
        pipeline.sends(at(0));
        pipeline.sends(at(1));
        assert!(pipeline.answered(at(5), 70));
        assert!(pipeline.answered(at(12), 70));
        assert!(pipeline.answered(at(19), 69));
        assert!(!pipeline.answered(at(20), 70));
        assert!(!pipeline.is_empty());
        let tally = pipeline.end(&"cut off");
        assert_eq!(tally.latencies().total(), 1);
        assert_eq!(tally.latencies().greatest(), Duration::from_millis(11));
        assert_eq!(tally.errors(), 2);
        assert_eq!(tally.first_error(), Some("an answer of 69 bytes, not 70"));
    }
}
