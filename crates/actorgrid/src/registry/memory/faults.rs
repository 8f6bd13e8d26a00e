use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// An operation of the registry, as [`MemoryRegistry::inject`](super::MemoryRegistry::inject) and
/// [`MemoryRegistry::calls`](super::MemoryRegistry::calls) name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryOperation {
    /// A new lease.
    Grant,
    /// The renewal of a lease.
    Renew,
    /// The question what is left of a lease.
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
    /// A read of all keys of a kind.
    List,
    /// The opening of a watch.
    Watch,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryFault {
    /// The registry refuses: the call fails as unavailable, and nothing was done.
    Refuse,
    /// The request never arrives: nothing is done, and there is no answer.
    LoseRequest,
    /// The request is carried out, and there is no answer.
    LoseReply,
    /// The request is carried out, and the answer is that its outcome is unknown.
    FailReply,
    /// The request arrives, and is answered, only after this time. It arrives also if the caller
    /// stops waiting before.
    Delay(Duration),
    /// The answer is at once that the outcome is unknown; the request arrives after this time.
    ArriveLate(Duration),
}

/// Faults that wait for their calls, and the count of calls.
///
/// Not limited: only a test puts faults in, one at a time.
#[derive(Debug, Default)]
pub(super) struct Faults {
    queued: HashMap<MemoryOperation, VecDeque<MemoryFault>>,
    calls: HashMap<MemoryOperation, u64>,
}

impl Faults {
    pub(super) fn inject(&mut self, operation: MemoryOperation, fault: MemoryFault) {
        self.queued.entry(operation).or_default().push_back(fault);
    }

    pub(super) fn next(&mut self, operation: MemoryOperation) -> Option<MemoryFault> {
        self.queued.get_mut(&operation)?.pop_front()
    }

    pub(super) fn count(&mut self, operation: MemoryOperation) {
        *self.calls.entry(operation).or_default() += 1;
    }

    pub(super) fn calls(&self, operation: MemoryOperation) -> u64 {
        self.calls.get(&operation).copied().unwrap_or_default()
    }
}
