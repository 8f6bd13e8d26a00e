//! The health of a peer, as a client sees it.

use crate::stable_names::stable_names;
use crate::wire::health::health_check_response::ServingStatus;

/// The health of a peer, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Health {
    /// The peer serves.
    Serving,
    /// The peer reports that it does not serve: it starts, is fenced, rejoins, or shuts down.
    NotServing,
    /// Not known. The server at the peer's address has no health service, or its health service
    /// does not report whether it serves; or, in a watch, the registry does not answer and the
    /// peer's address is not known yet.
    Unknown,
    /// The peer is registered but cannot be reached. Only in watches; a check fails instead.
    Unreachable,
    /// No peer of this name is registered. Only in watches; a check fails instead.
    Unregistered,
}

stable_names! {
    Health {
        Serving = "serving",
        NotServing = "not-serving",
        Unknown = "unknown",
        Unreachable = "unreachable",
        Unregistered = "unregistered",
    }
}

impl From<ServingStatus> for Health {
    fn from(status: ServingStatus) -> Self {
        match status {
            ServingStatus::Serving => Self::Serving,
            ServingStatus::NotServing => Self::NotServing,
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => Self::Unknown,
        }
    }
}
