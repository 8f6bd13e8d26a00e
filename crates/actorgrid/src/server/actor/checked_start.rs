//! A start message that has passed all checks that need no waiting.

use super::actor_type::ActorType;
use crate::error::{RequestError, RequestErrorKind};
use crate::message::ActorStart;
use crate::name::Name;
use crate::registry::{Kind, keys};
use crate::server::life::Life;
use crate::token::Token;

/// A start message whose names are valid and whose type is registered. As far as is known at once,
/// its actor neither runs on this peer nor is about to.
pub(in crate::server) struct CheckedStart {
    pub(super) name: Name,
    pub(super) type_name: Name,
    pub(super) actor_type: ActorType,
    pub(super) start: ActorStart,
}

impl CheckedStart {
    /// Checks in the same order as the Go library, and fails with its texts. Does not wait, so it
    /// needs no [permit](super::StartPermit).
    pub(in crate::server) fn new(life: &Life, start: ActorStart) -> Result<Self, RequestError> {
        check(life, start).inspect_err(|_| life.counters().starts_refused.increment())
    }
}

fn check(life: &Life, start: ActorStart) -> Result<CheckedStart, RequestError> {
    let invalid = |text| RequestError::refused(RequestErrorKind::InvalidName, text);
    let text = start.actor_type();
    let type_name = Name::new(text)
        .map_err(|_| invalid(format!("grid: invalid actor type: type={}", shown(text))))?;
    let text = start.name();
    let namespace = &life.names().identity().namespace;
    let name = Name::new(text).map_err(|_| {
        invalid(format!(
            "grid: invalid name: namespace={namespace} name={}",
            shown(text)
        ))
    })?;
    let actor_type = life.actor_type(&type_name).ok_or_else(|| {
        RequestError::refused(
            RequestErrorKind::UnknownActorType,
            format!("grid: def not registered: type={type_name}"),
        )
    })?;
    if let Some(running) = life.actors().get(&name)
        && let Some(token) = running.holds()
    {
        return Err(already_running_here(life, &name, token));
    }
    Ok(CheckedStart {
        name,
        type_name,
        actor_type,
        start,
    })
}

/// Shortens an invalid name, which may be a megabyte long.
fn shown(text: &str) -> String {
    text.chars().take(256).collect()
}

/// Returns the error of a start whose actor runs on this peer.
pub(super) fn already_running_here(life: &Life, name: &Name, token: Token) -> RequestError {
    let peer = life.names().identity().peer().clone();
    already_running(life, name, Some(peer), token)
}

/// Returns the error of a start whose actor already runs, on `peer` if that is known.
pub(super) fn already_running(
    life: &Life,
    name: &Name,
    peer: Option<Name>,
    token: Token,
) -> RequestError {
    let key = keys::of(&life.names().identity().namespace, Kind::Actor, name);
    let text = format!("registering actor {key:?}: registry: already registered");
    let error = RequestError::refused(RequestErrorKind::AlreadyRunning, text);
    match peer {
        Some(peer) => error.held_by(peer, Some(token)),
        None => error,
    }
}
