//! The actions of an attacker, and how the peer treated it.

use std::collections::BTreeMap;

/// The figures of one attack, which its process prints at the end.
#[derive(Debug, Clone, Default, serde::Deserialize, serde::Serialize)]
pub struct Findings {
    /// The connections that were made.
    pub connections: u64,
    /// The connections that could not be made.
    pub unreachable: u64,
    /// The connections that the peer ended.
    pub closed: u64,
    /// The streams that were opened.
    pub streams: u64,
    /// The bytes that were sent.
    pub bytes: u64,
    /// The requests that were answered with a reply.
    pub replies: u64,
    /// The requests that were rejected as busy.
    pub busy: u64,
    /// The requests that were answered with another error, or whose stream was reset.
    pub failed: u64,
    /// The share of a processor that the attacker used.
    pub cpu_share: f64,
    /// How often the peer broke a promise to the attacker, by promise.
    pub failures: BTreeMap<String, u64>,
}
