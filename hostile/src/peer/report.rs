//! A peer's report about itself.

/// What a peer reports about itself, several times a second: one line of JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct PeerReport {
    /// The server's state.
    pub state: String,
    /// How often it was fenced.
    pub fences: u64,
    /// Why it was fenced last.
    pub fence_reason: Option<String>,
    /// The token of the leader, which runs on this peer.
    pub leader: Option<String>,
    /// The bytes of the heap that are in use.
    pub live_bytes: u64,
    /// The tasks of the runtime that have not ended.
    pub tasks: u64,
    /// The descriptors that are open.
    pub descriptors: u64,
    /// The resident memory.
    pub rss_bytes: u64,
    /// The most of it since its peak was last reset.
    pub peak_rss_bytes: u64,
    /// Panics, caught ones included.
    pub panics: u64,
    /// Messages that were echoed.
    pub echoed: u64,
    /// Messages that were executed though they must not be.
    pub forbidden: u64,
    /// The server's counters, for people to read.
    pub statistics: String,
}
