//! The reasons to fence a session.

use crate::stable_names::stable_names;

/// The reason a session was fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FenceReason {
    /// No renewal of a lease was confirmed in time.
    Deadline,
    /// The registry reported that a lease of the session is gone.
    LeaseLost,
    /// A key of the session was deleted, or another session holds it.
    KeyLost,
    /// The runtime on which the server was bound ran none of its tasks for
    /// [`max_stall`](crate::ServerBuilder::max_stall): code in tasks blocks its threads.
    RuntimeStalled,
    /// A library task that the session needs has panicked. This is a bug in the library; the log
    /// names the task.
    TaskDied,
    /// The registry is no longer the same one: another cluster answers at all of its endpoints, or
    /// it was restored to an earlier revision. The peer does not rejoin: see
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
