//! The time limit of a request.

use std::time::Duration;

/// The time by which a request must have ended.
///
/// It travels between peers as time left, so that their clocks need not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(tokio::time::Instant);

/// The longest time that a deadline can lie ahead: an hour. More is taken as this much; who needs
/// longer asks for a message when the work is done.
pub const MAX_DEADLINE: Duration = Duration::from_secs(3600);

#[allow(clippy::disallowed_methods)]
impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        Self(tokio::time::Instant::now() + time.min(MAX_DEADLINE))
    }

    /// The time that is left; zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0
            .saturating_duration_since(tokio::time::Instant::now())
    }

    /// Ends when the deadline has passed. Cancel safe.
    pub async fn passed(&self) {
        tokio::time::sleep_until(self.0).await;
    }

    /// `future`, or `None` if the deadline passes first.
    pub(crate) async fn bound<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::time::timeout_at(self.0, future).await.ok()
    }
}
