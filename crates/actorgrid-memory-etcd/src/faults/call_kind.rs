//! The calls that faults apply to.

/// A kind of call to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CallKind {
    /// A read of a range of keys.
    Range,
    /// A put of one key.
    Put,
    /// A deletion of a range of keys.
    DeleteRange,
    /// A transaction.
    Txn,
    /// A compaction.
    Compact,
    /// A new lease.
    Grant,
    /// The end of a lease.
    Revoke,
    /// A renewal of a lease: each message of the stream.
    KeepAlive,
    /// A query of a lease's time.
    TimeToLive,
    /// A list of the leases.
    Leases,
    /// A new watch: each such message of the stream.
    Watch,
    /// A request of a watch's client for progress.
    Progress,
    /// A list of the members.
    MemberList,
    /// A query of the alarms, or a change of them.
    Alarm,
    /// A query of the member's version and state.
    Status,
    /// A request for a token.
    Authenticate,
}
