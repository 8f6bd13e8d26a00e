//! The faults that tests inject.

use std::time::Duration;

/// A fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryFault {
    /// The registry refuses: the call fails as unavailable, and nothing is done.
    Refuse,
    /// The request never arrives: nothing is done, and no reply is sent.
    LoseRequest,
    /// The request is carried out, but no reply is sent.
    LoseReply,
    /// The request is carried out, but the call fails as unknown.
    FailReply,
    /// The request arrives, and is answered, only after this time. It arrives even if the caller
    /// stops waiting earlier.
    Delay(Duration),
    /// The request is carried out at once, but is answered only after this time.
    DelayReply(Duration),
    /// The call fails as unknown at once; the request arrives after this time.
    ArriveLate(Duration),
    /// The reply is that of a registry in which nothing was ever registered, like that of a member
    /// that lags behind. In a real registry this happens only to
    /// [`Peek`](super::MemoryOperation::Peek).
    Lag,
    /// The caller panics, as if it had a bug.
    #[cfg(test)]
    Panic,
}
