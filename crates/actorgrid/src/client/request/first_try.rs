//! The first try of a request, at a mailbox of the same process, or over a link that is open: it
//! needs no timer, no question to the registry, and no memory of its own.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::drive::Drive;
use super::new_request::NewRequest;
use super::policy::RepeatPolicy;
use super::receiver::RequestReceiver;
use super::spec::Purpose;
use crate::client::locations::KnownLocation;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{AnyMessage, Body, BodyRef};
use crate::route::{
    LinkHandle, LinkRequest, LinkedCall, LinkedOutcome, LocalCall, LocalOutcome, LocalRefusal,
    LocalRequest, Meta, MovedCall, Resolved, ShortReply,
};
use crate::token::Token;

/// A request before and during its first try. Dropped, the try is cancelled.
pub(super) struct FirstTry {
    request: NewRequest,
    begun: Option<BegunTry>,
}

/// A try that is under way.
struct BegunTry {
    call: FirstCall,
    number: u64,
    deadline: Deadline,
}

enum FirstCall {
    Local(LocalCall),
    Linked(LinkedCall),
}

/// The receiver, as far as this process knows it.
enum LocalReceiver {
    Found(Resolved),
    /// No mailbox of this process has the name.
    Elsewhere,
    NotAsked,
}

/// How a first try ends.
pub(super) enum FirstOutcome {
    /// The reply is where a short one was wanted. None stands for the expected type.
    Short(Option<Arc<str>>),
    Replied(Body),
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
            begun: None,
        }
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Polls a try that has begun. A short reply is written to `reply`.
    pub(super) fn poll(&mut self, reply: &mut ShortReply, cx: &Context<'_>) -> Poll<FirstOutcome> {
        let Self { request, begun } = self;
        let Some(begun) = begun else {
            return Poll::Pending;
        };
        let (number, deadline) = (begun.number, begun.deadline);
        let linked = match &mut begun.call {
            FirstCall::Linked(linked) => linked,
            FirstCall::Local(local) => {
                let outcome = ready!(local.poll(cx));
                return Poll::Ready(conclude_local(request, number, deadline, outcome));
            }
        };
        let (RequestReceiver::Known(known), Some(message)) = (&request.to, &request.message) else {
            return Poll::Pending;
        };
        let for_link = || link_request(request, known, &**message, number, deadline);
        match ready!(linked.poll(for_link, reply, cx)) {
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
        let Some(message) = &request.message else {
            // An earlier poll has panicked on its way.
            let error = RequestError::no_reply("the message is gone");
            return Poll::Ready(FirstOutcome::Failed(error));
        };
        let is_elsewhere = match local_receiver(request) {
            LocalReceiver::Found(resolved) => {
                return self.begin_local(resolved, number, (time, deadline), cx);
            }
            LocalReceiver::Elsewhere => true,
            LocalReceiver::NotAsked => false,
        };
        let goes_on = || Poll::Ready(FirstOutcome::GoesOn(Begun::new(number, deadline)));
        let RequestReceiver::Known(known) = &request.to else {
            return goes_on();
        };
        let Some(link) = open_link(request, known, is_elsewhere) else {
            return goes_on();
        };
        let for_link = link_request(request, known, &**message, number, deadline);
        match LinkedCall::begin(link, &for_link, time, expected, cx) {
            Ok(call) => {
                core.counters.remote_tries.increment();
                self.begun = Some(BegunTry {
                    call: FirstCall::Linked(call),
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

    /// Begins a try at a mailbox of this process, to which the message moves.
    fn begin_local(
        &mut self,
        resolved: Resolved,
        number: u64,
        (time, deadline): (Duration, Deadline),
        cx: &Context<'_>,
    ) -> Poll<FirstOutcome> {
        let request = &mut self.request;
        let core = &*request.core;
        let goes_on = || Poll::Ready(FirstOutcome::GoesOn(Begun::new(number, deadline)));
        let (Some((_, local)), Some(name)) = (&core.local, request.to.name()) else {
            return goes_on();
        };
        let headers = request.headers.as_ref();
        let meta = Meta {
            id: core.ids.of(number),
            deadline,
            token: None,
            headers: headers.map(|new| new.headers.clone()).unwrap_or_default(),
            caller: None,
        };
        let Some(reserved) = local.reserve(&meta, time, cx) else {
            return goes_on();
        };
        let Some(message) = request.message.take() else {
            return goes_on();
        };
        core.counters.local_tries.increment();
        let local_request = LocalRequest {
            receiver: name.as_str(),
            body: Body::Value(message),
            meta,
        };
        match local.begin(resolved, reserved, local_request) {
            Ok(call) => {
                self.begun = Some(BegunTry {
                    call: FirstCall::Local(call),
                    number,
                    deadline,
                });
                Poll::Pending
            }
            Err(LocalRefusal { error, body }) => {
                request.message = body.map(Body::into_value);
                let failed = Some(error);
                let begun = Begun::new(number, deadline);
                Poll::Ready(FirstOutcome::GoesOn(Begun { failed, ..begun }))
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

/// Returns the mailbox of this process that a request goes to, if its message can move there:
/// nothing is kept of it, so a request that may be repeated after it was executed goes another way.
fn local_receiver(request: &NewRequest) -> LocalReceiver {
    let core = &*request.core;
    let is_moved = request.policy != RepeatPolicy::Always && request.purpose == Purpose::Message;
    let (Some((_, local)), Some(name)) = (&core.local, request.to.name()) else {
        return LocalReceiver::NotAsked;
    };
    if !is_moved || core.pool.check_open().is_err() {
        return LocalReceiver::NotAsked;
    }
    match local.resolve(name.as_str()) {
        Resolved::Absent => LocalReceiver::Elsewhere,
        // Earlier requests may still wait for the outcome of a lookup.
        Resolved::Inbox(_) if !core.name_turns.is_free(name) => LocalReceiver::NotAsked,
        resolved @ Resolved::Inbox(_) => LocalReceiver::Found(resolved),
    }
}

/// Returns the link that is open to a location, if the request may go over it at once.
/// `is_elsewhere` if no mailbox of this process has the name.
fn open_link(
    request: &NewRequest,
    known: &Arc<KnownLocation>,
    is_elsewhere: bool,
) -> Option<LinkHandle> {
    let core = &*request.core;
    let location = known.location();
    if known.is_left() || location.token.cluster() != core.registry.cluster() {
        return None;
    }
    if let Some((peer, local)) = &core.local
        && (*peer == location.peer || !is_elsewhere && local.knows(known.name().as_str()))
    {
        return None;
    }
    let link = core.locations.link(known, &core.pool)?;
    core.name_turns.is_free(known.name()).then_some(link)
}

fn link_request<'a>(
    request: &'a NewRequest,
    known: &'a KnownLocation,
    message: &'a dyn AnyMessage,
    number: u64,
    deadline: Deadline,
) -> LinkRequest<'a> {
    let body = BodyRef::Value(message);
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

/// Decides what follows from the outcome of a try at a mailbox of this process.
fn conclude_local(
    request: &mut NewRequest,
    number: u64,
    deadline: Deadline,
    outcome: LocalOutcome,
) -> FirstOutcome {
    match outcome {
        LocalOutcome::Replied(reply) => FirstOutcome::Replied(reply),
        // Without the message there is nothing to repeat.
        LocalOutcome::Failed { error, body: None } => failed(request, error),
        LocalOutcome::Failed {
            error,
            body: Some(body),
        } => {
            request.message = Some(body.into_value());
            FirstOutcome::GoesOn(Begun {
                failed: Some(error),
                ..Begun::new(number, deadline)
            })
        }
        LocalOutcome::Overdue(executed) => {
            request.core.counters.deadlines_exceeded.increment();
            FirstOutcome::Failed(RequestError::deadline(executed))
        }
    }
}

/// Whether an error comes from the handler, so that nothing is to be decided.
fn is_answer(error: &RequestError) -> bool {
    error.kind() == RequestErrorKind::Application
}

fn failed(request: &NewRequest, error: RequestError) -> FirstOutcome {
    request.core.counters.failed(error.kind());
    FirstOutcome::Failed(error)
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
        LinkedOutcome::Replied(payload) => FirstOutcome::Replied(Body::Encoded(payload)),
        LinkedOutcome::Overdue(executed) => {
            core.counters.deadlines_exceeded.increment();
            // Its peer did not even accept the request. The next request must not wait there just
            // as long without asking who holds the name now.
            if executed == Executed::No {
                core.forget_location(known.name(), known.location().token);
            }
            FirstOutcome::Failed(RequestError::deadline(executed))
        }
        LinkedOutcome::Failed(error)
            if request.purpose == Purpose::Message && is_answer(&error) =>
        {
            failed(request, error)
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
