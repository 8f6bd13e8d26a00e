//! One event of a server: a change of its state, of an actor or of the leader.

use super::actor_end::ActorEnd;
use crate::name::Name;
use crate::server::state::ServerState;
use crate::session::FenceReason;
use crate::token::Token;

/// Something that happened on a server: see [`ServerHandle::events`](crate::ServerHandle::events).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// The server entered another state. No event follows [`Stopped`](ServerState::Stopped).
    ///
    /// [`Fenced`](ServerState::Fenced) precedes the ends of the actors that it causes. It follows
    /// [`Draining`](ServerState::Draining) if the session ends during a shutdown.
    StateChanged {
        /// The new state.
        state: ServerState,
        /// Why the peer is fenced. Set only with the states [`Fenced`](ServerState::Fenced) and
        /// [`Detached`](ServerState::Detached).
        reason: Option<FenceReason>,
    },
    /// An actor is running: its constructor has succeeded.
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
    /// An actor was registered, but its constructor did not succeed. Its name is released next.
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
    /// The grid's leader is running on this peer. Follows its [`ActorStarted`](Self::ActorStarted).
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
    /// This many events were dropped here because they were not read in time. Changes of the state
    /// can be among them.
    Missed(u64),
}
