//! Who may connect, and who makes room for it. Pure.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connection_activity::ConnectionActivity;
use super::control_budget::ControlBudget;
use crate::route::budget::SourceBudget;

/// Connections that are closed to make room and have not ended yet: while there are so many, what
/// arrives without room is closed at once.
const MAX_CLOSING: usize = 128;
/// The same for those of one source, so that no source uses up what others need.
const MAX_CLOSING_PER_SOURCE: usize = 32;

/// The source of a connection, as far as it can be told apart: an IPv4 address, or the first half
/// of an IPv6 address, as one client usually has all with the same first half. None in a simulation.
pub(super) type Source = Option<IpAddr>;

/// The source that an address belongs to.
pub(super) fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let bits = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(bits))
        }
        address => address,
    }
}

/// Names a connection of a [`ConnectionTable`].
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
    /// Those that are not being closed.
    connections: usize,
    /// Those that are.
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
    /// Accept it, and close that one for it.
    AcceptFor(ConnectionId),
    /// Close it: there is none that could make room.
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

    /// Decides about a connection from this source. One that is `exempt` may have all
    /// connections, others half.
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
            self.least_used_of_others(source, own)
        } else {
            return Arrival::Accept;
        };
        victim.map_or(Arrival::Refuse, Arrival::AcceptFor)
    }

    /// The connection that makes room when the process has no descriptor left.
    pub(super) fn victim(&self) -> Option<ConnectionId> {
        self.sources_by_size()
            .find_map(|(source, _)| self.least_used(source))
    }

    /// The connection that makes room for one of a source that has so many. Where none is unused, a
    /// source that has many more gives one that is used.
    fn least_used_of_others(&self, source: Source, own: usize) -> Option<ConnectionId> {
        self.victim().or_else(|| {
            let (largest, connections) = self.sources_by_size().next()?;
            let has_many_more = largest != source && connections > 2 * (own + 1);
            has_many_more.then(|| self.oldest(largest)).flatten()
        })
    }

    /// Adds a connection, and returns the shares of its source: new ones for its first.
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

    /// A connection has ended.
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

    /// Those that are not being closed.
    fn len(&self) -> usize {
        self.connections.len() - self.closing
    }

    /// The sources that may lose a connection, that with most connections first.
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

    /// The connection of a source that is silent for longest, or else idle for longest; none if all
    /// have requests.
    fn least_used(&self, source: Source) -> Option<ConnectionId> {
        let unused = self
            .open_of(source)?
            .filter_map(|(id, entry)| Some((entry.activity.disuse()?, *id)));
        unused.min().map(|(_, id)| id)
    }

    fn oldest(&self, source: Source) -> Option<ConnectionId> {
        self.open_of(source)?.map(|(id, _)| *id).min()
    }

    /// The connections of a source, if one of them may be closed.
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
