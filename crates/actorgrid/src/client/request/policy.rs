//! Which failed requests may be sent again.

/// Which failed tries of a request may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum RepeatPolicy {
    /// None: the first failure is the answer, even where the receiver reports that it did nothing.
    Never,
    /// Those that provably did not execute the request.
    IfNotExecuted,
    /// All: the caller says that executing the request twice does no harm.
    Always,
}
