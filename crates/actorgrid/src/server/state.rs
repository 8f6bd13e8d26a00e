//! The states of a server.

use crate::stable_names::stable_names;

/// The state of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerState {
    /// The server joins the grid for the first time.
    Starting,
    /// The server serves.
    Serving,
    /// The session is over, and the actors are ending.
    Fenced,
    /// The actors have ended, and the server joins the grid again.
    Rejoining,
    /// The actors have ended, and the registry is another one than before: it has another cluster,
    /// or it was restored to an earlier revision. The server stays out of the grid until
    /// [`follow_cluster`](crate::ServerHandle::follow_cluster) accepts the other cluster, the
    /// process restarts, or the previous cluster is back with all its history.
    Detached,
    /// The server is shutting down: its actors are ending.
    Draining,
    /// The server has ended.
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
