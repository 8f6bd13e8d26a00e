//! The failures that tests put in.

use std::time::Duration;

/// A failure of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryFault {
    /// The registry refuses: the call fails as unavailable, and nothing was done.
    Refuse,
    /// The request never arrives: nothing is done, and there is no answer.
    LoseRequest,
    /// The request is carried out, and there is no answer.
    LoseReply,
    /// The request is carried out, and the answer is that its outcome is unknown.
    FailReply,
    /// The request arrives, and is answered, only after this time. It arrives also if the caller
    /// stops waiting before.
    Delay(Duration),
    /// The request is carried out at once, and is answered only after this time.
    DelayReply(Duration),
    /// The answer is at once that the outcome is unknown; the request arrives after this time.
    ArriveLate(Duration),
    /// The answer is that of a registry in which nothing was ever registered, as of a member that
    /// lags behind. Such answers occur only to [`Peek`](super::MemoryOperation::Peek).
    Lag,
    /// The caller panics, as if it had a defect.
    #[cfg(test)]
    Panic,
}
