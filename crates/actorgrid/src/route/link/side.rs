//! The two sides of a link.

/// A side of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkSide {
    /// The side that connected. It sends requests.
    Client,
    /// The side that accepted the connection. It answers.
    Server,
}
