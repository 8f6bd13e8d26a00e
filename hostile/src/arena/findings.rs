//! The acts of an attacker, and how the peer treated it.

use std::collections::BTreeMap;

/// The figures of one attack, which its process prints at its end.
#[derive(Debug, Clone, Default, serde::Deserialize, serde::Serialize)]
pub struct Findings {
    /// Connections that were made.
    pub connections: u64,
    /// Connections that could not be made.
    pub unreachable: u64,
    /// Connections that the peer ended.
    pub closed: u64,
    /// Streams that were opened.
    pub streams: u64,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Requests that were answered with a reply.
    pub replies: u64,
    /// Requests that were rejected as busy.
    pub busy: u64,
    /// Requests that were answered with another error, or whose stream was reset.
    pub failed: u64,
    /// The share of a processor that the attacker used.
    pub cpu_share: f64,
    /// How often the peer treated the attacker otherwise than it promises, and in which way.
    pub failures: BTreeMap<String, u64>,
}
