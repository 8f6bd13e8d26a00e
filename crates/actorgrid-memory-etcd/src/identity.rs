//! How a server presents itself.

/// The cluster and the member that a server says it is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) cluster: u64,
    pub(crate) member: u64,
    pub(crate) name: String,
    pub(crate) client_urls: Vec<String>,
    /// The number of leaders so far.
    pub(crate) raft_term: u64,
}
