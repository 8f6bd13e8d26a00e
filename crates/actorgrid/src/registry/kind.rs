//! The kinds of registered names.

use crate::stable_names::stable_names;

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

stable_names! {
    Kind {
        Peer = "peer",
        Actor = "actor",
        Mailbox = "mailbox",
    }
}
