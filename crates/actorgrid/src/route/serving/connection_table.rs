//! Which connections may be opened, and which make room for them. Pure.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connection_activity::ConnectionActivity;
use super::control_budget::ControlBudget;
use crate::route::budget::SourceBudget;

/// The number of connections that are being closed to make room and have not ended yet: at this
/// number, a connection that arrives without room is closed at once.
const MAX_CLOSING: usize = 128;
/// The same for those of one source, so that no source uses up what others need.
const MAX_CLOSING_PER_SOURCE: usize = 32;

/// The source of a connection, as far as sources can be distinguished: an IPv4 address, or the
/// first half of an IPv6 address, because one client usually controls all addresses with the same
/// first half. `None` in a simulation.
pub(super) type Source = Option<IpAddr>;

/// Returns the source that an address belongs to.
pub(super) fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let bits = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(bits))
        }
        address => address,
    }
}

/// Identifies a connection of a [`ConnectionTable`].
pub(super) type ConnectionId = u64;

/// The connections of a peer, by their sources.
#[derive(Debug)]
pub(super) struct ConnectionTable {
    limit: usize,
    connections: HashMap<ConnectionId, ConnectionEntry>,
    sources: HashMap<Source, SourceEntry>,
    closing: usize,
    ids: ConnectionId,
}

#[derive(Debug)]
struct ConnectionEntry {
    source: Source,
    activity: Arc<ConnectionActivity>,
    evicted: CancellationToken,
}

#[derive(Debug)]
struct SourceEntry {
    /// The connections that are not being closed.
    connections: usize,
    /// The connections that are being closed.
    closing: usize,
    shares: SourceShares,
}

/// The shares of a source in the budgets of the peer.
#[derive(Debug, Clone)]
pub(super) struct SourceShares {
    pub(super) control: ControlBudget,
    pub(super) received: SourceBudget,
    pub(super) under_way: SourceBudget,
    pub(super) replies: SourceBudget,
}

/// The decision about a connection that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    Accept,
    /// Accept it, and close that other connection to make room.
    AcceptFor(ConnectionId),
    /// Close it: no other connection can make room.
    Refuse,
}

impl ConnectionTable {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            connections: HashMap::new(),
            sources: HashMap::new(),
            closing: 0,
            ids: 0,
        }
    }

    /// Decides about a connection from this source. A source that is `exempt` may have all
    /// connections, others half of them.
    pub(super) fn arrive(&self, source: Source, exempt: bool) -> Arrival {
        let own = self.sources.get(&source).map_or(0, |own| own.connections);
        let own_limit = if exempt {
            self.limit
        } else {
            self.limit.div_ceil(2)
        };
        let victim = if own >= own_limit {
            self.least_used(source)
        } else if self.len() >= self.limit {
            self.victim_for(source, own)
        } else {
            return Arrival::Accept;
        };
        victim.map_or(Arrival::Refuse, Arrival::AcceptFor)
    }

    /// Returns the connection to close when the process has no descriptors left: an unused one of
    /// a source that has more than half as many as the largest.
    pub(super) fn victim(&self) -> Option<ConnectionId> {
        let (_, largest) = self.sources_by_size().next()?;
        self.unused_of_larger(largest / 2)
    }

    /// Returns the connection to close for one from a source that has `own` connections.
    ///
    /// Unused ones are closed first, but never one of a source that has no more than the newcomer:
    /// a client whose single connection is idle for a moment would lose it to a crowd. If none is
    /// unused, a source that has many more loses one that is in use.
    fn victim_for(&self, source: Source, own: usize) -> Option<ConnectionId> {
        let unused = self.unused_of_larger(own);
        unused.or_else(|| self.least_used(source)).or_else(|| {
            let (largest, connections) = self.sources_by_size().next()?;
            let has_many_more = largest != source && connections > 2 * (own + 1);
            has_many_more.then(|| self.oldest(largest)).flatten()
        })
    }

    /// Returns the least used connection of the largest source that has an unused one, among the
    /// sources with more connections than `own`.
    fn unused_of_larger(&self, own: usize) -> Option<ConnectionId> {
        self.sources_by_size()
            .filter(|(_, connections)| *connections > own)
            .find_map(|(source, _)| self.least_used(source))
    }

    /// Adds a connection, and returns the shares of its source; its first connection creates them.
    pub(super) fn add(
        &mut self,
        source: Source,
        activity: Arc<ConnectionActivity>,
        evicted: CancellationToken,
        shares: impl FnOnce() -> SourceShares,
    ) -> (ConnectionId, SourceShares) {
        self.ids += 1;
        let entry = ConnectionEntry {
            source,
            activity,
            evicted,
        };
        self.connections.insert(self.ids, entry);
        let own = self.sources.entry(source).or_insert_with(|| SourceEntry {
            connections: 0,
            closing: 0,
            shares: shares(),
        });
        own.connections += 1;
        (self.ids, own.shares.clone())
    }

    /// Begins to close a connection.
    pub(super) fn evict(&mut self, id: ConnectionId) {
        let Some(entry) = self.connections.get(&id) else {
            return;
        };
        if entry.evicted.is_cancelled() {
            return;
        }
        entry.evicted.cancel();
        self.closing += 1;
        if let Some(own) = self.sources.get_mut(&entry.source) {
            own.connections -= 1;
            own.closing += 1;
        }
    }

    /// Removes a connection that has ended.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        let Some(entry) = self.connections.remove(&id) else {
            return;
        };
        let Some(own) = self.sources.get_mut(&entry.source) else {
            return;
        };
        if entry.evicted.is_cancelled() {
            self.closing -= 1;
            own.closing -= 1;
        } else {
            own.connections -= 1;
        }
        if own.connections + own.closing == 0 {
            self.sources.remove(&entry.source);
        }
    }

    /// Returns the number of connections that are not being closed.
    fn len(&self) -> usize {
        self.connections.len() - self.closing
    }

    /// Returns the sources that may lose a connection, the one with most connections first.
    fn sources_by_size(&self) -> impl Iterator<Item = (Source, usize)> {
        let mut sources: Vec<_> = self
            .sources
            .iter()
            .filter(|(_, own)| self.may_close(own))
            .map(|(source, own)| (*source, own.connections))
            .collect();
        sources.sort_unstable_by_key(|(source, connections)| (Reverse(*connections), *source));
        sources.into_iter()
    }

    fn may_close(&self, own: &SourceEntry) -> bool {
        self.closing < MAX_CLOSING && own.closing < MAX_CLOSING_PER_SOURCE
    }

    /// Returns a source's connection that has been silent longest, or else idle longest; `None` if
    /// all have requests.
    fn least_used(&self, source: Source) -> Option<ConnectionId> {
        let unused = self
            .open_of(source)?
            .filter_map(|(id, entry)| Some((entry.activity.disuse()?, *id)));
        unused.min().map(|(_, id)| id)
    }

    fn oldest(&self, source: Source) -> Option<ConnectionId> {
        self.open_of(source)?.map(|(id, _)| *id).min()
    }

    /// Returns the connections of a source, if one of them may be closed.
    fn open_of(
        &self,
        source: Source,
    ) -> Option<impl Iterator<Item = (&ConnectionId, &ConnectionEntry)>> {
        let own = self.sources.get(&source)?;
        let open = self
            .connections
            .iter()
            .filter(move |(_, entry)| entry.source == source && !entry.evicted.is_cancelled());
        self.may_close(own).then_some(open)
    }
}

#[cfg(test)]
mod tests;
