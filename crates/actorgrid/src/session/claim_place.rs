//! The leases under which a claim may go.

/// The leases under which a claim may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimPlace {
    /// Any lease with room for its names.
    Any,
    /// The lease of the peer's own registration, which keeps room for one claim of this kind at a
    /// time. For names that must not outlive the peer's registration, or end before it.
    First,
}
