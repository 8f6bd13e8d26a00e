//! The first try of a request, over a link that is open: it needs no timer, no lookup and no
//! memory.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::drive::Drive;
use super::new_request::NewRequest;
use super::receiver::RequestReceiver;
use crate::client::locations::KnownLocation;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError};
use crate::message::{BodyRef, Payload};
use crate::route::{LinkHandle, LinkRequest, LinkedCall, LinkedOutcome, MovedCall, ShortReply};
use crate::token::Token;

/// A request before and during its first try. Dropped, the try is cancelled.
pub(super) struct FirstTry {
    request: NewRequest,
    linked: Option<LinkedTry>,
}

/// A try over a link.
struct LinkedTry {
    call: LinkedCall,
    number: u64,
    deadline: Deadline,
}

/// How a first try ends.
pub(super) enum FirstOutcome {
    /// The reply is where a short one was wanted. None stands for the expected type.
    Short(Option<Arc<str>>),
    Replied(Payload),
    /// The request has failed.
    Failed(RequestError),
    /// The request goes on.
    GoesOn(Begun),
}

/// A request that goes on after its first try, or without one.
pub(super) struct Begun {
    number: u64,
    deadline: Deadline,
    /// The token of the holder at which there was a try.
    token: Option<Token>,
    /// Why the first try has failed, if there was one.
    failed: Option<RequestError>,
    /// The place of the request on the link to which it has moved.
    moved: Option<MovedCall>,
}

impl Begun {
    const fn new(number: u64, deadline: Deadline) -> Self {
        Self {
            number,
            deadline,
            token: None,
            failed: None,
            moved: None,
        }
    }
}

impl FirstTry {
    pub(super) const fn new(request: NewRequest) -> Self {
        Self {
            request,
            linked: None,
        }
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.linked.is_some()
    }

    /// Polls a try that has begun. A short reply is written to `reply`.
    pub(super) fn poll(&mut self, reply: &mut ShortReply, cx: &Context<'_>) -> Poll<FirstOutcome> {
        let Self { request, linked } = self;
        let Some(linked) = linked else {
            return Poll::Pending;
        };
        let RequestReceiver::Known(known) = &request.to else {
            return Poll::Pending;
        };
        let (number, deadline) = (linked.number, linked.deadline);
        let for_link = || link_request(request, known, number, deadline);
        match ready!(linked.call.poll(for_link, reply, cx)) {
            LinkedOutcome::Short(wire_name) => Poll::Ready(FirstOutcome::Short(wire_name)),
            outcome => Poll::Ready(conclude(request, known, number, deadline, outcome)),
        }
    }

    /// Begins the request: its deadline runs from here on. `expected` is the usual type of a reply.
    pub(super) fn begin(&mut self, expected: &'static str, cx: &Context<'_>) -> Poll<FirstOutcome> {
        let request = &mut self.request;
        if let Err(error) = request.check() {
            return Poll::Ready(FirstOutcome::Failed(error));
        }
        let time: Duration = request.time();
        let deadline = Deadline::after(time);
        let core = &*request.core;
        let number = core.ids.next();
        let RequestReceiver::Known(known) = &request.to else {
            return Poll::Ready(FirstOutcome::GoesOn(Begun::new(number, deadline)));
        };
        let Some(link) = open_link(request, known) else {
            return Poll::Ready(FirstOutcome::GoesOn(Begun::new(number, deadline)));
        };
        let for_link = link_request(request, known, number, deadline);
        match LinkedCall::begin(link, &for_link, time, expected, cx) {
            Ok(call) => {
                core.counters.remote_tries.increment();
                self.linked = Some(LinkedTry {
                    call,
                    number,
                    deadline,
                });
                Poll::Pending
            }
            Err(outcome) => {
                if let LinkedOutcome::Failed(_) = outcome {
                    core.counters.remote_tries.increment();
                }
                Poll::Ready(conclude(request, known, number, deadline, outcome))
            }
        }
    }

    /// Returns what drives the request from here on, and the error of its first try.
    ///
    /// # Errors
    ///
    /// The name of the receiver is not valid.
    pub(super) fn into_drive(
        self,
        begun: Begun,
    ) -> Result<(Drive, Option<RequestError>), RequestError> {
        let mut drive = self.request.into_drive(begun.number, begun.deadline)?;
        drive.follow(begun.token, begun.moved);
        Ok((drive, begun.failed))
    }
}

/// Returns the link that is open to a location, if the request may go over it at once.
fn open_link(request: &NewRequest, known: &Arc<KnownLocation>) -> Option<LinkHandle> {
    let core = &*request.core;
    let location = known.location();
    if known.is_left() || location.token.cluster() != core.registry.cluster() {
        return None;
    }
    if let Some((peer, local)) = &core.local
        && (*peer == location.peer || local.knows(known.name().as_str()))
    {
        return None;
    }
    let link = core.locations.link(known, &core.pool)?;
    core.name_turns.is_free(known.name()).then_some(link)
}

fn link_request<'a>(
    request: &'a NewRequest,
    known: &'a KnownLocation,
    number: u64,
    deadline: Deadline,
) -> LinkRequest<'a> {
    let body = BodyRef::Value(&*request.message);
    LinkRequest {
        receiver: known.name(),
        guess: Some(known.guess()),
        id: request.core.ids.of(number),
        token: known.location().token,
        deadline,
        headers: request.headers.as_ref().map(|new| &new.headers),
        wire_name: body.wire_name(),
        body,
        from_handler: request.from_handler,
    }
}

/// Decides what follows from the outcome of a try over a link.
fn conclude(
    request: &NewRequest,
    known: &Arc<KnownLocation>,
    number: u64,
    deadline: Deadline,
    outcome: LinkedOutcome,
) -> FirstOutcome {
    let core = &*request.core;
    let begun = Begun::new(number, deadline);
    let token = Some(known.location().token);
    match outcome {
        LinkedOutcome::Short(wire_name) => FirstOutcome::Short(wire_name),
        LinkedOutcome::Replied(payload) => FirstOutcome::Replied(payload),
        LinkedOutcome::Overdue(executed) => {
            core.counters.deadlines_exceeded.increment();
            // Its peer did not even accept the request. The next request must not wait there just
            // as long without asking who holds the name now.
            if executed == Executed::No {
                core.forget_location(known.name(), known.location().token);
            }
            FirstOutcome::Failed(RequestError::deadline(executed))
        }
        LinkedOutcome::Failed(error) => FirstOutcome::GoesOn(Begun {
            token,
            failed: Some(core.pool.lost_or_closed(error)),
            ..begun
        }),
        LinkedOutcome::Ended(moved) => {
            core.locations.forget_link(known);
            FirstOutcome::GoesOn(Begun {
                token,
                moved,
                ..begun
            })
        }
        LinkedOutcome::TooLarge => FirstOutcome::GoesOn(begun),
    }
}
