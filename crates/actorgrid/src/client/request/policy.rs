//! The caller's choice of which failed requests may be sent again.

/// The failed tries of a request that may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum RepeatPolicy {
    /// No try: the first failure is the answer, even if the receiver reports that it did nothing.
    Never,
    /// Tries that provably did not execute the request.
    IfNotExecuted,
    /// All tries: the caller states that executing the request twice does no harm.
    Always,
}
