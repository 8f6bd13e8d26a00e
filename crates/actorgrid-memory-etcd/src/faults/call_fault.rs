//! Faults that apply to one call each.

use std::time::Duration;

/// A fault of one call. See [`Faults::inject`](crate::Faults::inject).
///
/// A watch, and a request for progress, can only be lost: one that would fail or be late is lost,
/// and a reply that would fail or be late is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallFault {
    /// The request is lost: nothing is done, and nothing is answered.
    LoseRequest,
    /// The request is carried out, and its reply is lost.
    LoseReply,
    /// The request fails as timed out, with nothing done.
    FailRequest,
    /// The request is carried out, and fails as timed out.
    FailReply,
    /// The request is carried out this much later, even if its caller has given up meanwhile, and
    /// is not answered.
    ArriveLate(Duration),
    /// The request is carried out, and answered this much later.
    AnswerLate(Duration),
}
