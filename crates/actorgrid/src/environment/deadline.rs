//! The time limit of a request.

use std::time::Duration;

use futures_util::FutureExt as _;

/// The time by which a request must have ended.
///
/// It travels between peers as the time left, so that their clocks need not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(tokio::time::Instant);

/// The longest time that a deadline can lie ahead: one hour. Longer times are shortened to this.
/// For work that takes longer, have the actor send a message when it is done.
pub const MAX_DEADLINE: Duration = Duration::from_secs(3600);

#[allow(clippy::disallowed_methods)]
impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        Self(tokio::time::Instant::now() + time.min(MAX_DEADLINE))
    }

    /// So much later, and at most an hour.
    pub(crate) fn later(self, time: Duration) -> Self {
        Self(self.0 + time.min(MAX_DEADLINE))
    }

    /// Returns the time left; zero if the deadline has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0
            .saturating_duration_since(tokio::time::Instant::now())
    }

    /// Waits until the deadline has passed. Cancel safe.
    pub async fn passed(&self) {
        tokio::time::sleep_until(self.0).await;
    }

    /// Runs `future`; returns `None` if the deadline passes first.
    pub(crate) fn bound<F: Future>(self, future: F) -> impl Future<Output = Option<F::Output>> {
        // An async block would hold the future twice.
        tokio::time::timeout_at(self.0, future).map(Result::ok)
    }
}
