//! The operations that tests can count and make fail.

/// An operation of the registry, for [`MemoryRegistry::inject`](super::MemoryRegistry::inject) and
/// [`MemoryRegistry::calls`](super::MemoryRegistry::calls).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryOperation {
    /// The granting of a lease.
    Grant,
    /// The renewal of a lease.
    Renew,
    /// A read of the remaining time of a lease.
    Remaining,
    /// The revocation of a lease.
    Revoke,
    /// A registration: of names of actors and mailboxes, or of a peer's own keys.
    Claim,
    /// A raise of a session's epoch, which settles claims in doubt.
    Raise,
    /// The release of a name.
    Release,
    /// A read of single keys.
    Get,
    /// A read of single keys that may be stale: the first read of a client that looks up a mailbox.
    Peek,
    /// A read of all keys of a kind.
    List,
    /// The opening of a watch.
    Watch,
}
