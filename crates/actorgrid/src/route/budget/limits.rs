//! The limits of a budget, at each of its levels.

/// The numbers of bytes that a peer allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetLimits {
    /// On all connections together.
    pub(crate) total: usize,
    /// On one connection.
    pub(crate) per_connection: usize,
}

impl BudgetLimits {
    /// Returns the limit of all connections from one source address: half of the total, so that the
    /// clients of one address leave as much to all others.
    pub(super) const fn per_source(self) -> usize {
        let half = self.total / 2;
        if half > self.per_connection {
            half
        } else {
            self.per_connection
        }
    }

    /// Returns the use of the whole budget up to which tickets are granted: a larger share than of
    /// a source or a connection, so that small messages of other sources do not hold up tickets.
    pub(super) const fn of_tickets_of_peer(limit: usize) -> usize {
        limit - limit / 16
    }

    /// Returns the use of a source or a connection up to which tickets are granted. The rest is
    /// left for small messages, which are charged without waiting.
    pub(super) const fn of_tickets(limit: usize) -> usize {
        limit - limit / 4
    }

    /// Returns the use above which a source or a connection is crowded.
    pub(super) const fn crowded(limit: usize) -> usize {
        limit - limit / 8
    }

    /// Returns the use above which the whole budget is crowded: a larger share than of a source,
    /// because a source that holds nothing must not suffer from many others.
    pub(super) const fn crowded_peer(limit: usize) -> usize {
        limit - limit / 64
    }

    /// Returns the bytes that may be parked, unread, in streams whose messages wait for a ticket.
    pub(super) const fn waiting(self) -> usize {
        self.total / 4
    }
}
