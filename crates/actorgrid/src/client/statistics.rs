//! The numbers that a client reports.

/// The counts of a [`Client`](crate::Client) and its clones since it was built: see
/// [`Client::statistics`](crate::Client::statistics).
///
/// All numbers only grow. They are read one after the other, so requests that are under way can
/// show in one of them and not yet in another. The Go library counts some of them in its tests, by
/// the names that are given here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStatistics {
    /// Requests that were begun, starts and stops included. (One with an invalid name or header is
    /// answered before.)
    pub requests: u64,
    /// Tries at a mailbox that followed a failure: those of the two kinds below that were repeats.
    pub repeats: u64,
    /// Tries at a mailbox of the same process.
    pub local_tries: u64,
    /// Tries at a mailbox of another peer; nearly `numGetWireClient` in Go, which counts those that
    /// end at the registry too.
    pub remote_tries: u64,
    /// Times that the registry was asked for a mailbox's location. Requests that wait for the same
    /// answer count once.
    pub lookups: u64,
    /// Locations that were forgotten, as a try at them had failed; `numDeleteAddress` in Go.
    pub locations_forgotten: u64,
    /// Tries that ended because nobody holds the name; `numErrUnregisteredMailbox` in Go.
    pub unknown_names: u64,
    /// Tries that were refused because the peer did not hold the name (any more);
    /// `numErrUnknownMailbox` in Go, together with [`mailbox_closed`](Self::mailbox_closed).
    pub not_held: u64,
    /// Tries that were refused because the mailbox, or its peer, was closing;
    /// `numErrUnknownMailbox` in Go.
    pub mailbox_closed: u64,
    /// Tries that were refused because the mailbox was full, or a limit of the peer was reached;
    /// `numErrReceiverBusy` in Go.
    pub busy: u64,
    /// Tries for which no connection could be had; `numErrConnectionUnavailable` and
    /// `numErrConnectionRefused` in Go.
    pub unreachable: u64,
    /// Tries whose connection broke before the answer came; `numErrClientConnectionClosing` in Go.
    pub connections_lost: u64,
    /// Tries that ended because the registry did not answer, or its answer cannot be used.
    pub registry_failures: u64,
    /// Requests that ended because their deadline had passed.
    pub deadlines_exceeded: u64,
    /// Connections that were opened; `numGRPCDial` in Go, together with those that
    /// [failed to open](Self::connections_failed).
    pub connections_opened: u64,
    /// Connections that could not be opened; `numErrWhileDialing` in Go.
    pub connections_failed: u64,
    /// Connections that have ended, for any reason: broken, closed by either side, or let go
    /// after a time without calls; `numDeleteClientAndConn` in Go. Those that were opened, less
    /// these, are open.
    pub connections_ended: u64,
}
