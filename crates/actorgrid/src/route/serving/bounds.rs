//! The bounds of a peer's wire port.

use std::net::IpAddr;
use std::sync::Arc;

use crate::environment::Environment;
use crate::route::budget::BudgetLimits;
use crate::route::call::DEFAULT_MAX_MESSAGE_BYTES;

/// The default limit on the bytes of messages that a peer has received and not yet handed out, and
/// also on those of replies that are not yet sent: 48 messages of the default size limit at once,
/// and room for small ones.
pub const DEFAULT_MAX_RECEIVED_BYTES: usize = 256 * 1024 * 1024;
/// The default share of one connection in each of these limits.
pub const DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION: usize = 64 * 1024 * 1024;
/// The default limit on the requests in flight on one connection: a broadcast from one client to
/// 1,000 members on this peer.
pub const DEFAULT_MAX_STREAMS_PER_CONNECTION: u32 = 1024;
/// The default limit on the connections of a peer: a grid of 1,000 peers with a few clients each
/// stays below it.
pub const DEFAULT_MAX_CONNECTIONS: usize = 4096;

/// The bytes of one connection must be at least this many times the size limit of messages, so that
/// more than one can arrive at a time.
pub(crate) const MIN_MESSAGES_PER_CONNECTION: usize = 4;

/// The bounds of a peer's wire port.
#[derive(Debug, Clone)]
pub(crate) struct WireBounds {
    pub(crate) received: BudgetLimits,
    pub(crate) replies: BudgetLimits,
    pub(crate) max_streams: u32,
    pub(crate) max_connections: usize,
    /// The addresses of proxies, which may use all connections and all bytes.
    pub(crate) proxies: Arc<[IpAddr]>,
}

/// More than a usual request occupies while it is in flight, apart from its message.
const BYTES_PER_STREAM: usize = 8 * 1024;
/// The descriptors that are reserved for the connections to etcd and to other peers, and for
/// everything else that a process opens.
const RESERVED_DESCRIPTORS: usize = 256;

impl WireBounds {
    /// Returns the memory of requests in flight, apart from their messages: half as much as for the
    /// messages, and enough for all streams of a connection.
    pub(super) fn under_way(&self) -> BudgetLimits {
        let streams = self.max_streams as usize * BYTES_PER_STREAM;
        let per_connection = streams.max(self.received.per_connection / 2);
        BudgetLimits {
            total: per_connection.max(self.received.total / 2),
            per_connection,
        }
    }

    /// Limits the connections to the descriptors that the process can have, after raising that
    /// limit where allowed.
    pub(crate) fn within_descriptors(mut self, environment: &Environment) -> Self {
        let wanted = self.max_connections.saturating_add(RESERVED_DESCRIPTORS);
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let Some(limit) = environment.raise_descriptor_limit(wanted) else {
            return self;
        };
        let possible = connections_within(usize::try_from(limit).unwrap_or(usize::MAX));
        if possible < self.max_connections {
            tracing::warn!(
                limit,
                connections = possible,
                "the limit on open files allows fewer connections than max_connections"
            );
            self.max_connections = possible;
        }
        self
    }
}

/// Returns the number of connections for which a limit on descriptors leaves room.
fn connections_within(descriptors: usize) -> usize {
    let reserved = RESERVED_DESCRIPTORS.min(descriptors / 4);
    (descriptors - reserved).max(1)
}

impl Default for WireBounds {
    fn default() -> Self {
        let limits = BudgetLimits {
            total: DEFAULT_MAX_RECEIVED_BYTES,
            per_connection: DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION,
        };
        debug_assert!(
            limits.per_connection / DEFAULT_MAX_MESSAGE_BYTES >= MIN_MESSAGES_PER_CONNECTION,
            "the defaults are consistent"
        );
        Self {
            received: limits,
            replies: limits,
            max_streams: DEFAULT_MAX_STREAMS_PER_CONNECTION,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            proxies: Arc::from([]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Simulation;

    #[test]
    fn connections_leave_descriptors_for_all_else() {
        assert_eq!(connections_within(0), 1);
        assert_eq!(connections_within(400), 300);
        assert_eq!(connections_within(1024), 768);
        assert_eq!(connections_within(65_536), 65_280);
    }

    #[test]
    fn one_connection_has_a_quarter_of_the_room_for_requests_under_way() {
        let mebibytes = |number: usize| number * 1024 * 1024;
        let limits = BudgetLimits {
            total: mebibytes(128),
            per_connection: mebibytes(32),
        };
        assert_eq!(WireBounds::default().under_way(), limits);
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulation_has_descriptors_enough() {
        let environment = Simulation::new(1).environment();
        let bounds = WireBounds {
            max_connections: usize::MAX,
            ..WireBounds::default()
        };
        let bounds = bounds.within_descriptors(&environment);
        assert_eq!(bounds.max_connections, usize::MAX);
    }
}
