//! The statistics of a client, as users read them.

/// The counts of a [`Client`](crate::Client) and its clones since it was built. Read them with
/// [`Client::statistics`](crate::Client::statistics).
///
/// All values only grow. They are read one after the other, so requests that are under way can show
/// in one of them and not yet in another. The Go library counts some of them in its tests, under
/// the names that are given here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStatistics {
    /// Requests that were started, including starts and stops of actors. (A request with an invalid
    /// name or header fails before it counts.)
    pub requests: u64,
    /// Tries at a mailbox that followed a failure: the repeats among the two kinds of tries below.
    pub repeats: u64,
    /// Tries at a mailbox in the same process.
    pub local_tries: u64,
    /// Tries at a mailbox of another peer; roughly `numGetWireClient` in Go, which also counts
    /// tries that end at the registry.
    pub remote_tries: u64,
    /// How often the registry was asked for a mailbox's location. Requests that wait for the same
    /// answer count once.
    pub lookups: u64,
    /// Locations that were forgotten because a try at them had failed; `numDeleteAddress` in Go.
    pub locations_forgotten: u64,
    /// Tries that ended because nobody holds the name; `numErrUnregisteredMailbox` in Go.
    pub unknown_names: u64,
    /// Tries that were rejected because the peer did not hold the name (any more);
    /// `numErrUnknownMailbox` in Go, together with [`mailbox_closed`](Self::mailbox_closed).
    pub not_held: u64,
    /// Tries that were rejected because the mailbox, or its peer, was closing;
    /// `numErrUnknownMailbox` in Go.
    pub mailbox_closed: u64,
    /// Tries that were rejected because the mailbox was full, or a limit of the peer was reached;
    /// `numErrReceiverBusy` in Go.
    pub busy: u64,
    /// Tries for which no connection could be established; `numErrConnectionUnavailable` and
    /// `numErrConnectionRefused` in Go.
    pub unreachable: u64,
    /// Tries whose connection broke before the answer came; `numErrClientConnectionClosing` in Go.
    pub connections_lost: u64,
    /// Tries that ended because the registry did not answer, or its answer was unusable.
    pub registry_failures: u64,
    /// Requests that ended because their deadline had passed.
    pub deadlines_exceeded: u64,
    /// Connections that were opened; `numGRPCDial` in Go, together with those that
    /// [failed to open](Self::connections_failed).
    pub connections_opened: u64,
    /// Connections that could not be opened; `numErrWhileDialing` in Go.
    pub connections_failed: u64,
    /// Connections that have ended, for any reason: broken, closed by either side, or closed after
    /// a time without calls; `numDeleteClientAndConn` in Go. The number of open connections is that
    /// of the opened ones minus this.
    pub connections_ended: u64,
}
