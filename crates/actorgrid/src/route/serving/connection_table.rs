//! Who may connect, and who makes room for it. Pure.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connection_activity::{ConnectionActivity, Disuse};
use crate::route::budget::{ByteBudget, SourceBudget};

/// Connections that are closed to make room and have not ended yet: while there are so many, what
/// arrives without room is closed at once.
const MAX_CLOSING: usize = 64;

/// The source of a connection, as far as it can be told apart: an IPv4 address, or the first half
/// of an IPv6 address, as whoever has one has all with the same first half. None in a simulation.
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
    received: SourceBudget,
    replies: SourceBudget,
}

/// What is to be done with a connection that has arrived.
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
        let crowded = if own >= own_limit {
            Some(source)
        } else if self.len() >= self.limit {
            self.largest_source()
        } else {
            return Arrival::Accept;
        };
        let victim = crowded.and_then(|crowded| self.least_used(crowded));
        match victim {
            Some(victim) if self.closing < MAX_CLOSING => Arrival::AcceptFor(victim),
            _ => Arrival::Refuse,
        }
    }

    /// The connection that makes room when the process has no descriptor left.
    pub(super) fn victim(&self) -> Option<ConnectionId> {
        self.least_used(self.largest_source()?)
    }

    /// Adds a connection. The budgets are those of its source.
    pub(super) fn add(
        &mut self,
        source: Source,
        activity: Arc<ConnectionActivity>,
        evicted: CancellationToken,
        (received, replies): (&ByteBudget, &ByteBudget),
    ) -> (ConnectionId, SourceBudget, SourceBudget) {
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
            received: received.source(),
            replies: replies.source(),
        });
        own.connections += 1;
        (self.ids, own.received.clone(), own.replies.clone())
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

    fn largest_source(&self) -> Option<Source> {
        let largest = self
            .sources
            .iter()
            .max_by_key(|(source, own)| (own.connections, **source));
        largest.map(|(source, _)| *source)
    }

    /// The connection of a source that is silent for longest, or else idle for longest; none if all
    /// have requests.
    fn least_used(&self, source: Source) -> Option<ConnectionId> {
        let unused = self
            .connections
            .iter()
            .filter(|(_, entry)| entry.source == source && !entry.evicted.is_cancelled())
            .filter_map(|(id, entry)| Some((entry.activity.disuse()?, *id)));
        unused
            .min_by_key(|(disuse, id): &(Disuse, ConnectionId)| (*disuse, *id))
            .map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests;
