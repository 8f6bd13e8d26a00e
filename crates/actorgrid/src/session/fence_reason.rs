//! Why a session is fenced.

use crate::stable_names::stable_names;

/// Why a session is fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FenceReason {
    /// No renewal of a lease was confirmed in time.
    Deadline,
    /// The registry says that a lease of the session is gone.
    LeaseLost,
    /// A key of the session was deleted or is held by another session.
    KeyLost,
    /// The runtime that the server was bound on ran none of its tasks for as long as
    /// [`max_stall`](crate::ServerBuilder::max_stall): code in tasks blocks its threads.
    RuntimeStalled,
    /// A task of the library that the session needs has panicked. That is a defect of the library;
    /// the log says which task it was.
    TaskDied,
    /// The registry is another one than before: another cluster answers at all of its endpoints, or
    /// it was restored to an earlier revision. The peer stays out: see
    /// [`ServerState::Detached`](crate::ServerState::Detached).
    ClusterChanged,
    /// The server was dropped.
    Dropped,
}

stable_names! {
    FenceReason {
        Deadline = "deadline",
        LeaseLost = "lease-lost",
        KeyLost = "key-lost",
        RuntimeStalled = "runtime-stalled",
        TaskDied = "task-died",
        ClusterChanged = "cluster-changed",
        Dropped = "dropped",
    }
}
