//! How many requests a client may still cancel. Pure.

/// A client may cancel each request once, whether or not its answer is on its way.
#[derive(Debug)]
pub(super) struct CancelAllowance {
    left: u32,
    most: u32,
}

impl CancelAllowance {
    /// For a client that knows of so many unanswered requests at most: it has no reason to cancel
    /// more of them.
    pub(super) const fn new(unanswered: u32) -> Self {
        Self {
            left: 0,
            most: unanswered,
        }
    }

    /// One more request may be cancelled.
    pub(super) fn note_request(&mut self) {
        self.left = self.most.min(self.left.saturating_add(1));
    }

    /// A request is cancelled. Returns whether that is allowed.
    pub(super) const fn take(&mut self) -> bool {
        let is_allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_may_be_cancelled_once_and_no_more_are_saved_than_can_be_unanswered() {
        let mut cancels = CancelAllowance::new(3);
        assert!(!cancels.take());
        cancels.note_request();
        assert!(cancels.take() && !cancels.take());
        for _ in 0..100 {
            cancels.note_request();
        }
        assert_eq!((0..100).take_while(|_| cancels.take()).count(), 3);
    }
}
