//! The mailbox named after the peer, which starts and stops actors.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actorgrid_macros::MessageSet;
use tokio::task::JoinSet;

use super::actor::{CheckedStart, RunningActor, StartPermit, start};
use super::life::{ABORT_GRACE, Life};
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::mailbox::{HeldBy, Mailbox, MailboxError, StopReason};
use crate::message::{Ack, ActorStart, ActorStop};
use crate::request::Request;

/// The capacity of a peer's mailbox, as in the Go library. The mailbox is always read promptly:
/// beyond the work that the peer does at once, requests are answered as busy.
const CAPACITY: usize = 100;
/// The maximum number of stops under way at once. Each is a task that waits for its actor, but no
/// longer than the actor has to end. Stops never wait for starts, and do not count as starts.
const MAX_STOPS: usize = 1_024;
/// The part of a start's time that is reserved for its answer; a quarter if the time is short. A
/// name that is not released by then is reported in that answer. The deadline began at the caller,
/// so the remainder covers the way there and back around the world.
const ANSWER_MARGIN: Duration = Duration::from_millis(250);

/// The name of an actor that tests cannot start: the task of the mailbox panics.
#[cfg(test)]
pub(super) const DEFECT: &str = "defect";

#[derive(MessageSet)]
pub(super) enum PeerMessage {
    Start(Request<ActorStart>),
    Stop(Request<ActorStop>),
}

/// Opens the mailbox, which the session's first transaction has registered.
pub(super) async fn open(life: &Life) -> Result<Mailbox<PeerMessage>, MailboxError> {
    let owner = life.peer_owner();
    let name = life.names().identity().peer().clone();
    let reservation = owner.reserve(&name).await?;
    Ok(owner.build(
        &reservation,
        name,
        life.names().token(),
        CAPACITY,
        HeldBy::Session(reservation.clone()),
    ))
}

/// Serves the mailbox until the life stops, then carries everything under way to its end.
pub(super) async fn serve(life: Arc<Life>, mut mailbox: Mailbox<PeerMessage>) {
    // Joined below. User code (constructors, actors, functions that return a capacity) runs in
    // tasks that `start` spawns, so a panic here is a defect of ours. Each start has a permit.
    let (mut starts, mut stops) = (JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! {
            biased;
            Some(ended) = starts.join_next() => report(ended),
            Some(ended) = stops.join_next() => report(ended),
            message = mailbox.recv() => match message {
                Some(PeerMessage::Start(request)) => match admit(&life, &request) {
                    Ok((order, permit)) => {
                        starts.spawn(handle_start(life.clone(), request, order, permit));
                    }
                    Err(error) => answer(request, Err(error)),
                },
                Some(PeerMessage::Stop(request)) if stops.len() < MAX_STOPS => {
                    stops.spawn(handle_stop(life.clone(), request));
                }
                Some(PeerMessage::Stop(request)) => answer(request, Err(busy("stops"))),
                None => break,
            },
        }
    }
    for mut under_way in [starts, stops] {
        while let Some(ended) = under_way.join_next().await {
            report(ended);
        }
    }
}

fn busy(of_what: &str) -> RequestError {
    let text = format!("the peer has its maximum number of {of_what} under way");
    RequestError::refused(RequestErrorKind::Busy, text)
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "handling a message to the peer failed");
    }
}

/// Checks a start before it takes a permit, so that only a start that would do something can find
/// the peer busy.
fn admit(
    life: &Life,
    request: &Request<ActorStart>,
) -> Result<(CheckedStart, StartPermit), RequestError> {
    #[cfg(test)]
    assert_ne!(request.message().name(), DEFECT, "on purpose");
    let order = CheckedStart::new(life, request.message().clone())?;
    let permit = life.starts().take().ok_or_else(|| {
        life.counters().starts_refused.increment();
        life.counters().starts_busy.increment();
        busy("starts")
    })?;
    Ok((order, permit))
}

async fn handle_start(
    life: Arc<Life>,
    mut request: Request<ActorStart>,
    order: CheckedStart,
    permit: StartPermit,
) {
    let time = request.deadline().remaining();
    let answer_by = life.environment().now() + (time - ANSWER_MARGIN.min(time / 4));
    // If the requester stops waiting, the start is abandoned and its name is released. Once its
    // constructor is running, it continues.
    let started = tokio::select! {
        biased;
        started = start(&life, order, permit, Some(answer_by)) => started,
        () = request.abandoned() => return,
    };
    answer(request, started.map(|_| ()));
}

async fn handle_stop(life: Arc<Life>, mut request: Request<ActorStop>) {
    let order = request.message().clone();
    let stopped = tokio::select! {
        biased;
        stopped = stop(&life, &order) => stopped,
        () = request.abandoned() => return,
    };
    answer(request, stopped);
}

fn answer<M: crate::message::Message<Reply = Ack>>(
    request: Request<M>,
    result: Result<(), RequestError>,
) {
    let answered = match result {
        Ok(()) => request.respond(Ack {}),
        Err(error) => request.into_parts().1.refuse(error),
    };
    if let Err(error) = answered {
        tracing::debug!(%error, "an answer of the peer could not be delivered");
    }
}

/// Asks an actor to stop, and waits until its name is free, or until the actor has had its time.
async fn stop(life: &Life, order: &ActorStop) -> Result<(), RequestError> {
    let running = life.actors().get(order.name());
    let held = |running: &RunningActor| match order.expected() {
        Some(token) => running.token.get() == Some(&token),
        None => true,
    };
    let Some(running) = running.filter(|running| held(running)) else {
        // The peer's own mailbox is there, so repeating the request would not help.
        return Err(RequestError::refused(
            RequestErrorKind::UnknownName,
            format!("no such actor runs on this peer: {}", order.name()),
        ));
    };
    let until = life.environment().now() + life.stop_timeout();
    running.stop.ask(StopReason::Asked, until);
    // The first stop order stays in effect, so the time of an actor that was asked earlier may have
    // passed.
    let until = running.stop.order().map_or(until, |(_, until)| until) + ABORT_GRACE;
    tokio::select! {
        biased;
        () = running.freed.happened() => Ok(()),
        () = life.environment().sleep_until(until) => Err(not_stopped(&running)),
    }
}

fn not_stopped(running: &RunningActor) -> RequestError {
    let name = &running.name;
    let text = if running.gone.load(Ordering::Acquire) {
        format!("the actor {name} has ended, but its name is not released yet")
    } else if running.stop.is_ended() {
        format!("a task that the actor {name} spawned has not ended since it was aborted")
    } else {
        format!(
            "the actor {name} did not end in time (shutdown_timeout of the peer), nor since it was \
             aborted"
        )
    };
    RequestError::new(RequestErrorKind::StopFailed, Executed::Yes, text)
}
