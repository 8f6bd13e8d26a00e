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
        Draining = "draining",
        Stopped = "stopped",
    }
}
