//! The kinds of names that a grid registers.

/// The kinds of names that a grid registers.
#[doc(alias = "EntityType")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// Peers.
    Peer,
    /// Running actors.
    Actor,
    /// Mailboxes.
    Mailbox,
}

impl Kind {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Actor => "actor",
            Self::Mailbox => "mailbox",
        }
    }
}
