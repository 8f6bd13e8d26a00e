//! The conditions of a server that its connections follow.

/// The conditions that connections must notice at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// Whether nothing is read and written.
    pub(crate) frozen: bool,
    /// Whether connections are closed.
    pub(crate) refusing: bool,
    /// How often all connections were cut.
    pub(crate) cuts: u64,
}
