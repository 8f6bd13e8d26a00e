//! One event of a server.

use super::actor_end::ActorEnd;
use crate::name::Name;
use crate::server::state::ServerState;
use crate::session::FenceReason;
use crate::token::Token;

/// Something that happened on a server: see [`ServerHandle::events`](crate::ServerHandle::events).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// The server is in another state. After [`Stopped`](ServerState::Stopped) nothing follows.
    ///
    /// [`Fenced`](ServerState::Fenced) comes before the ends of the actors that follow from it. It
    /// comes after [`Draining`](ServerState::Draining) if the session ends during a shutdown.
    StateChanged {
        /// The new state.
        state: ServerState,
        /// Why the peer is fenced, with the states [`Fenced`](ServerState::Fenced) and
        /// [`Detached`](ServerState::Detached) alone.
        reason: Option<FenceReason>,
    },
    /// An actor runs: its constructor has succeeded.
    ActorStarted {
        /// The actor's name.
        name: Name,
        /// The actor's type.
        actor_type: Name,
        /// The token of its registration.
        token: Token,
    },
    /// An actor that had started has ended, with all its tasks. Its name is released next.
    ActorEnded {
        /// The actor's name.
        name: Name,
        /// The actor's type.
        actor_type: Name,
        /// The token of its registration.
        token: Token,
        /// How it ended.
        end: ActorEnd,
    },
    /// An actor was registered, and its constructor did not succeed. Its name is released next.
    StartFailed {
        /// The actor's name.
        name: Name,
        /// The actor's type.
        actor_type: Name,
        /// The token of its registration.
        token: Token,
        /// How its constructor ended.
        end: ActorEnd,
    },
    /// The grid's leader runs on this peer. Follows its [`ActorStarted`](Self::ActorStarted).
    LeaderStarted {
        /// The token of its registration.
        token: Token,
    },
    /// The grid's leader no longer runs on this peer. Follows its
    /// [`ActorEnded`](Self::ActorEnded).
    LeaderStopped {
        /// The token of its registration.
        token: Token,
    },
    /// This many events were dropped here, as they were not read in time. Changes of the state can
    /// be among them.
    Missed(u64),
}
