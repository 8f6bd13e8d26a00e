//! The operations that tests count and let fail.

/// An operation of the registry, as [`MemoryRegistry::inject`](super::MemoryRegistry::inject) and
/// [`MemoryRegistry::calls`](super::MemoryRegistry::calls) name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryOperation {
    /// A new lease.
    Grant,
    /// The renewal of a lease.
    Renew,
    /// A read of the time that is left of a lease.
    Remaining,
    /// The end of a lease.
    Revoke,
    /// Registrations: names of actors and mailboxes, and a peer's own keys.
    Claim,
    /// The raising of a session's epoch, which settles what is in doubt.
    Raise,
    /// The release of a name.
    Release,
    /// A read of single keys.
    Get,
    /// A read of single keys that may lag behind: the first one of a client that looks up where a
    /// mailbox is.
    Peek,
    /// A read of all keys of a kind.
    List,
    /// The opening of a watch.
    Watch,
}
