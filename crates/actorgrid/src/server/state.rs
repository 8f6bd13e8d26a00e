//! The states of a server.

use crate::stable_names::stable_names;

/// The state of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerState {
    /// It joins the grid for the first time.
    Starting,
    /// It serves.
    Serving,
    /// Its session is over and its actors are ending.
    Fenced,
    /// Its actors have ended, and it joins the grid again.
    Rejoining,
    /// Its actors have ended, and its registry is another one than before: another cluster is there,
    /// or it was restored to an earlier revision. It stays out of the grid until
    /// [`follow_cluster`](crate::ServerHandle::follow_cluster) goes there, the process restarts, or
    /// the cluster of before is back with all its history.
    Detached,
    /// It shuts down: its actors are ending.
    Draining,
    /// It has ended.
    Stopped,
}

stable_names! {
    ServerState {
        Starting = "starting",
        Serving = "serving",
        Fenced = "fenced",
        Rejoining = "rejoining",
        Detached = "detached",
        Draining = "draining",
        Stopped = "stopped",
    }
}
