//! The limits of a server.

/// The limits on what a server keeps and accepts. The defaults suit a grid of some hundred peers in
/// one process.
///
/// A request beyond a limit is refused with the error that etcd would use.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Bounds {
    /// The limit on keys. A request that might exceed it fails as "database space exceeded".
    /// Default: 1,000,000.
    pub max_keys: usize,
    /// The limit on the bytes of all versions of all keys and values that are not compacted, as
    /// etcd's `--quota-backend-bytes`. Default: 256 MiB.
    pub max_bytes: usize,
    /// The number of changes to keep for watches and for reads of the past. Beyond it, the oldest
    /// revisions are compacted, as with etcd's `--auto-compaction-mode=revision`. The newest
    /// revision is always kept. Default: 100,000.
    pub max_history: usize,
    /// The limit on leases. Default: 100,000.
    pub max_leases: usize,
    /// The limit on open watches. Default: 100,000.
    pub max_watches: usize,
    /// The limit on operations in a transaction, as etcd's `--max-txn-ops`. Default: 128.
    pub max_txn_ops: usize,
    /// The limit on the bytes of a request that changes something, as etcd's
    /// `--max-request-bytes`. A received message may have 512 KiB more. Default: 1.5 MiB.
    pub max_request_bytes: usize,
    /// The limit on open connections. Further ones are closed at once. Default: 4,096.
    pub max_connections: usize,
    /// The limit on concurrent calls over one connection. A client waits before it makes further
    /// ones. Default: 10,000.
    pub max_streams_per_connection: u32,
}

impl Bounds {
    /// How much larger than a request a received message may be, as in etcd.
    const OVERHEAD: usize = 512 * 1024;

    /// The limit on a received message, and the size beyond which the events of a watch are sent in
    /// fragments.
    pub(crate) fn max_message_bytes(&self) -> usize {
        self.max_request_bytes + Self::OVERHEAD
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_keys: 1_000_000,
            max_bytes: 256 * 1024 * 1024,
            max_history: 100_000,
            max_leases: 100_000,
            max_watches: 100_000,
            max_txn_ops: 128,
            max_request_bytes: 1024 * 1024 * 3 / 2,
            max_connections: 4_096,
            max_streams_per_connection: 10_000,
        }
    }
}
