//! The mailbox named after the peer: it starts and stops actors.

use std::sync::Arc;

use actorgrid_macros::MessageSet;
use tokio::task::JoinSet;

use super::actor::{RunningActor, start};
use super::life::Life;
use crate::error::{RequestError, RequestErrorKind};
use crate::mailbox::{HeldBy, Mailbox, MailboxError, StopReason};
use crate::message::{Ack, ActorStart, ActorStop};
use crate::request::Request;

/// The queue of a peer's mailbox, as the Go library has it.
const CAPACITY: usize = 100;
/// Starts and stops under way at once. Each waits for the registry or a constructor; beyond this
/// many the queue fills, and then callers get the error that the peer is busy.
const MAX_UNDER_WAY: usize = 256;

#[derive(MessageSet)]
pub(super) enum PeerMessage {
    Start(Request<ActorStart>),
    Stop(Request<ActorStop>),
}

/// Opens the mailbox, which the session's first transaction has registered.
pub(super) async fn open(life: &Life) -> Result<Mailbox<PeerMessage>, MailboxError> {
    let owner = life.owner();
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

/// Serves the mailbox until the life stops; then what is under way is carried to its end.
pub(super) async fn serve(life: Arc<Life>, mut mailbox: Mailbox<PeerMessage>) {
    // Joined below. User code (constructors, actors, functions that give a capacity) runs in tasks
    // that `start` spawns, so a panic here is a defect of ours.
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(ended) = under_way.join_next() => report(ended),
            message = mailbox.recv(), if under_way.len() < MAX_UNDER_WAY => match message {
                Some(message) => drop(under_way.spawn(handle(life.clone(), message))),
                None => break,
            },
        }
    }
    while let Some(ended) = under_way.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "handling a message to the peer failed");
    }
}

async fn handle(life: Arc<Life>, message: PeerMessage) {
    match message {
        PeerMessage::Start(mut request) => {
            let order = request.message().clone();
            // A start that nobody waits for any more is given up; its name is released.
            let started = tokio::select! {
                started = start(&life, order) => started,
                () = request.abandoned() => return,
            };
            answer(request, started.map(|_| ()));
        }
        PeerMessage::Stop(mut request) => {
            let order = request.message().clone();
            let stopped = tokio::select! {
                stopped = stop(&life, &order) => stopped,
                () = request.abandoned() => return,
            };
            answer(request, stopped);
        }
    }
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
        tracing::debug!(%error, "an answer of the peer was not taken");
    }
}

/// Asks an actor to stop and waits until its name is free.
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
    running.freed.cancelled().await;
    Ok(())
}
