//! A peer's report about itself.

/// The report of a peer about itself, sent several times per second as one line of JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct PeerReport {
    /// The server's state.
    pub state: String,
    /// The number of times that it was fenced.
    pub fences: u64,
    /// Why it was fenced last.
    pub fence_reason: Option<String>,
    /// The token of the leader, which runs on this peer.
    pub leader: Option<String>,
    /// The number of bytes in use on the heap.
    pub live_bytes: u64,
    /// The number of live tasks of the runtime.
    pub tasks: u64,
    /// The number of open descriptors.
    pub descriptors: u64,
    /// The resident memory.
    pub rss_bytes: u64,
    /// The peak of the resident memory since the last reset.
    pub peak_rss_bytes: u64,
    /// The number of panics, including caught ones.
    pub panics: u64,
    /// The number of messages that were echoed.
    pub echoed: u64,
    /// The number of messages that were executed though they must not be.
    pub forbidden: u64,
    /// The server's counters, for human readers.
    pub statistics: String,
}
