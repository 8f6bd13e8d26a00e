//! Drives one request, from its first try to its answer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;

use super::policy::RepeatPolicy;
use super::retry::{Decision, FailedTry, HolderFound, after_lookup, decide};
use super::spec::{Purpose, RequestSpec};
use crate::client::core::ClientCore;
use crate::client::locations::{Freshness, Location};
use crate::client::name_turns::NameTurn;
use crate::code::Code;
use crate::counter::Counter;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{Body, BodyError, DecodeError, Message};
use crate::name::Name;
use crate::registry::Kind;
use crate::route::{Call, Caller, Meta, MovedCall, Route as _};
use crate::token::Token;

/// Sends one request, as often as the retry policy allows.
///
/// A drive does not end at the deadline on its own: its caller limits the time, drops the future of
/// [`answer`](Self::answer), and asks whether the request may have been executed.
pub(in crate::client) struct Drive {
    core: Arc<ClientCore>,
    call: Call,
    purpose: Purpose,
    policy: RepeatPolicy,
    wait_for_name: bool,
    fail_fast: bool,
    /// The place of the request on a link to which it has moved.
    moved: Option<MovedCall>,
    /// Whether a try at the remembered location is under way.
    at_location: bool,
    /// The number of tries that have failed.
    tries: u32,
    /// Whether one of the failed tries may have executed the request.
    worst: Executed,
}

/// The outcome of one try.
enum TryOutcome {
    /// The reply arrived.
    Replied(Body),
    /// The try failed; the retry policy decides what follows.
    Failed(RequestError),
    /// The registry knows no holder of the receiver's name. (A receiver can also report an unknown
    /// name, but that is another name: it is a failure, and not waited for.)
    Absent,
    /// There was no try: the holder is still the one at which the last try failed, with this error,
    /// and the caller does not want to wait before trying it again, or has no time left to.
    SameHolder(RequestError),
}

/// As many requests wait for lookups as a client allows.
struct TooManyWaiting;

/// The registration at which a try failed, and its error, to compare with the next lookup.
struct FailedAt {
    token: Option<Token>,
    error: RequestError,
}

impl Drive {
    /// Drives the request with this number, or with the next one.
    pub(in crate::client) fn new(
        core: Arc<ClientCore>,
        number: Option<u64>,
        spec: RequestSpec,
    ) -> Self {
        let id = core.ids.of(number.unwrap_or_else(|| core.ids.next()));
        // An encoded message costs nothing to keep.
        let keep = spec.policy == RepeatPolicy::Always
            || spec.purpose != Purpose::Message
            || matches!(spec.body, Some(Body::Encoded(_)));
        Self {
            core,
            call: Call {
                receiver: spec.receiver,
                meta: Meta {
                    id,
                    deadline: spec.deadline,
                    token: None,
                    headers: spec.headers,
                    caller: Some(Caller::local()),
                },
                keep,
                body: spec.body,
                executed: Executed::No,
                from_handler: spec.from_handler,
            },
            moved: None,
            purpose: spec.purpose,
            policy: spec.policy,
            wait_for_name: spec.wait_for_name,
            fail_fast: spec.fail_fast,
            at_location: false,
            tries: 0,
            worst: Executed::No,
        }
    }

    /// Sends the request and waits for its answer.
    pub(in crate::client) async fn answer<R: Message>(&mut self) -> Result<R, RequestError> {
        self.answer_after(None).await
    }

    /// The same, after a first try that has failed, if there was one.
    pub(super) async fn answer_after<R: Message>(
        &mut self,
        failed: Option<RequestError>,
    ) -> Result<R, RequestError> {
        let answer = self.drive(failed.map(TryOutcome::Failed)).await;
        let answer = answer.map_err(|error| match self.purpose {
            Purpose::Start => start_error(error),
            Purpose::Message | Purpose::Stop => error,
        });
        read_reply(answer?)
    }

    /// Goes on from a first try at the holder with this token. Its place on a link may have moved.
    pub(super) fn follow(&mut self, token: Option<Token>, moved: Option<MovedCall>) {
        self.call.meta.token = token;
        self.moved = moved;
    }

    /// The time by which the request must have ended.
    pub(super) fn deadline(&self) -> Deadline {
        self.call.meta.deadline
    }

    /// Whether the request may have been executed by now, if its answer is abandoned.
    pub(in crate::client) fn executed(&self) -> Executed {
        self.worst.max(self.call.executed)
    }

    /// Returns the error of a request that was abandoned at its deadline.
    pub(in crate::client) fn overdue(&self) -> RequestError {
        self.core.counters.deadlines_exceeded.increment();
        // Its peer did not even accept the request. The next request must not wait there just as
        // long without asking who holds the name now.
        if self.at_location && self.call.executed == Executed::No {
            self.forget_location();
        }
        RequestError::deadline(self.executed())
    }

    async fn drive(&mut self, mut first: Option<TryOutcome>) -> Result<Body, RequestError> {
        let mut failed_at = None;
        loop {
            let outcome = match first.take() {
                Some(outcome) => outcome,
                None => self.attempt(failed_at.as_ref()).await,
            };
            let (error, absent) = match outcome {
                TryOutcome::Replied(reply) => return Ok(reply),
                // Counted when its try failed.
                TryOutcome::SameHolder(error) => return Err(error.at_least(self.worst)),
                TryOutcome::Failed(error) => (error, false),
                TryOutcome::Absent => (self.absent(), true),
            };
            self.core.counters.failed(error.kind());
            self.tries += 1;
            self.worst = self.worst.max(error.executed());
            self.call.executed = Executed::No;
            match self.after(&error, absent) {
                Decision::GiveUp => {
                    if contradicts_location(error.kind()) {
                        self.forget_location();
                    }
                    return Err(error.at_least(self.worst));
                }
                Decision::WaitForName => {
                    let receiver = &self.call.receiver;
                    self.core.wait_for_name(Kind::Mailbox, receiver).await?;
                }
                Decision::Repeat(repeat) => {
                    if !repeat.after.is_zero() {
                        self.core.environment().sleep(repeat.after).await;
                    }
                    failed_at = repeat.look_up.then(|| {
                        self.forget_location();
                        let token = self.call.meta.token;
                        FailedAt { token, error }
                    });
                }
            }
        }
    }

    /// Decides how the request continues after a failed try.
    fn after(&self, error: &RequestError, absent: bool) -> Decision {
        let failed = FailedTry {
            error,
            tries: self.tries,
            policy: self.policy,
            message_left: self.call.body.is_some(),
            wait_for_name: self.wait_for_name && absent,
            time_left: self.call.meta.deadline.remaining(),
        };
        decide(&failed, self.core.environment().random_unit())
    }

    /// Makes one try at the receiver. After a failed try, the registry is asked first, and the
    /// holder at which the try failed is not tried again at once.
    async fn attempt(&mut self, failed_at: Option<&FailedAt>) -> TryOutcome {
        let core = Arc::clone(&self.core);
        // Free again if this try goes another way.
        let moved = self.moved.take();
        if let Err(closed) = core.pool.check_open() {
            return TryOutcome::Failed(closed);
        }
        if let Some((_, local)) = &core.local
            && failed_at.is_none()
            && local.knows(self.call.receiver.as_str())
        {
            // Earlier requests may still wait for the outcome of a lookup.
            let Ok(turn) = turn(&core, &self.call.receiver, None, true) else {
                return TryOutcome::Failed(too_many_waiting());
            };
            if let Some(turn) = &turn {
                turn.come(core.environment()).await;
            }
            self.call.meta.token = None;
            self.count(&core.counters.local_tries);
            let call = pin!(local.call(&mut self.call));
            return TryOutcome::of(in_turn(turn, call).await);
        }
        // The location found earlier was wrong, or there was no answer.
        let freshness = match failed_at {
            Some(_) => Freshness::Linearizable,
            None => Freshness::MayLag,
        };
        let cluster = core.registry.cluster();
        let known = core.locations.get(&self.call.receiver);
        // The location is unknown, or of a cluster that was left.
        let known = known.filter(|location| location.token.cluster() == cluster);
        let Ok(turn) = turn(&core, &self.call.receiver, failed_at, known.is_some()) else {
            return TryOutcome::Failed(too_many_waiting());
        };
        let location = match known {
            Some(location) => location,
            None => match self.core.look_up(&self.call.receiver, freshness).await {
                Ok(Some(location)) => location,
                Ok(None) => return TryOutcome::Absent,
                // A client that is closed meanwhile abandons its lookups.
                Err(error) => {
                    let closed = core.pool.check_open().err();
                    return TryOutcome::Failed(closed.unwrap_or(error));
                }
            },
        };
        if let Some(failed_at) = failed_at
            && !self.hold_back(failed_at, &location).await
        {
            return TryOutcome::SameHolder(failed_at.error.clone());
        }
        if let Some(turn) = &turn {
            turn.come(core.environment()).await;
        }
        self.call.meta.token = Some(location.token);
        self.at_location = true;
        let answer = match &core.local {
            Some((peer, local)) if *peer == location.peer => {
                self.count(&core.counters.local_tries);
                let call = pin!(local.call(&mut self.call));
                in_turn(turn, call).await
            }
            _ => {
                self.count(&core.counters.remote_tries);
                let route = core.pool.route(&location.address, location.capabilities);
                let call = pin!(route.call_from(moved, &mut self.call));
                in_turn(turn, call).await
            }
        };
        self.at_location = false;
        TryOutcome::of(answer)
    }

    /// Counts a try at a mailbox.
    fn count(&self, tries: &Counter) {
        tries.increment();
        if self.tries > 0 {
            self.core.counters.repeats.increment();
        }
    }

    /// Waits before trying a holder again that has just rejected the request. Returns false if the
    /// caller does not want to wait, or has no time left to.
    async fn hold_back(&mut self, failed_at: &FailedAt, location: &Location) -> bool {
        let found = match failed_at.token == Some(location.token) {
            true => HolderFound::Same,
            false => HolderFound::Changed,
        };
        if self.fail_fast
            && found == HolderFound::Same
            && failed_at.error.kind() == RequestErrorKind::Unreachable
        {
            return false;
        }
        let environment = self.core.environment();
        let left = self.call.meta.deadline.remaining();
        let after = after_lookup(found, self.tries, left, environment.random_unit());
        if let Some(after) = after
            && !after.is_zero()
        {
            environment.sleep(after).await;
        }
        after.is_some()
    }

    /// Forgets the receiver's location, unless a newer one is known.
    fn forget_location(&self) {
        if let Some(token) = self.call.meta.token {
            self.core.forget_location(&self.call.receiver, token);
        }
    }

    /// Returns the error of a request to a name that nobody holds.
    fn absent(&self) -> RequestError {
        match self.purpose {
            Purpose::Message | Purpose::Stop => {
                RequestError::unknown_name(self.call.receiver.as_str())
            }
            Purpose::Start => RequestError::unknown_peer(&self.call.receiver),
        }
    }
}

impl TryOutcome {
    fn of(answer: Result<Body, RequestError>) -> Self {
        answer.map_or_else(Self::Failed, Self::Replied)
    }
}

/// Takes a place behind the requests to the same name whose holder is being looked up, if this one
/// is to be looked up too, or would overtake them. A request that was rejected has lost its place.
/// Fails if too many wait.
fn turn<'a>(
    core: &'a ClientCore,
    receiver: &Name,
    failed_at: Option<&FailedAt>,
    is_known: bool,
) -> Result<Option<NameTurn<'a>>, TooManyWaiting> {
    let turns = &core.name_turns;
    if failed_at.is_some() || is_known && turns.is_free(receiver) {
        return Ok(None);
    }
    turns.join(receiver).map(Some).ok_or(TooManyWaiting)
}

/// Makes a call. Its first poll determines its place from there on, so the next one to the same
/// name may go on afterwards.
fn in_turn<F: Future>(
    mut turn: Option<NameTurn<'_>>,
    mut call: Pin<&mut F>,
) -> impl Future<Output = F::Output> {
    poll_fn(move |cx| {
        let polled = call.as_mut().poll(cx);
        drop(turn.take());
        polled
    })
}

fn too_many_waiting() -> RequestError {
    let text = "as many requests wait for lookups as a client allows";
    RequestError::refused(RequestErrorKind::Busy, text)
}

/// Whether an error casts doubt on the location at which it occurred, so that the next request
/// looks it up again.
fn contradicts_location(kind: RequestErrorKind) -> bool {
    matches!(
        kind,
        RequestErrorKind::NotHeld
            | RequestErrorKind::MailboxClosed
            | RequestErrorKind::Unreachable
            | RequestErrorKind::ConnectionLost
    )
}

/// Returns the error of a start, from the error of the request that asked for it.
fn start_error(error: RequestError) -> RequestError {
    if error.kind() != RequestErrorKind::Application {
        return error;
    }
    // A Go peer reports a constructor's error only by its text. Code 4 means that a context on that
    // peer timed out: the caller must see that the same start can succeed later.
    let kind = match error.code() {
        Some(Code::DeadlineExceeded) => RequestErrorKind::DeadlineExceeded,
        _ => RequestErrorKind::StartFailed,
    };
    error.of_kind(kind)
}

/// Reads a reply as an `R`.
pub(super) fn read_reply<R: Message>(reply: Body) -> Result<R, RequestError> {
    reply.into_message().map_err(unexpected::<R>)
}

fn unexpected<R: Message>(error: BodyError) -> RequestError {
    let unexpected =
        |text| RequestError::new(RequestErrorKind::UnexpectedReply, Executed::Yes, text);
    match error {
        BodyError::Type(body) => unexpected(format!(
            "the reply is a {:?}, not a {:?}",
            body.wire_name(),
            R::WIRE_NAME
        )),
        BodyError::Bytes(error) => unreadable(error),
    }
}

/// The error of a reply that cannot be decoded.
pub(super) fn unreadable(error: DecodeError) -> RequestError {
    let text = format!("the reply cannot be decoded: {error}");
    RequestError::new(RequestErrorKind::UnexpectedReply, Executed::Yes, text).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_our_kinds_is_the_error_of_a_start() {
        use RequestErrorKind as Kind;
        for (kind, code, of_start) in [
            (Kind::Application, None, Kind::StartFailed),
            (Kind::Application, Some(Code::NotFound), Kind::StartFailed),
            (
                Kind::Application,
                Some(Code::DeadlineExceeded),
                Kind::DeadlineExceeded,
            ),
            (Kind::AlreadyRunning, None, Kind::AlreadyRunning),
            (Kind::DeadlineExceeded, None, Kind::DeadlineExceeded),
        ] {
            let mut error = RequestError::new(kind, Executed::Maybe, "text");
            if let Some(code) = code {
                error = error.with_code(code);
            }
            let error = start_error(error);
            assert_eq!(error.kind(), of_start, "{kind} {code:?}");
            assert_eq!((error.text(), error.executed()), ("text", Executed::Maybe));
        }
    }
}
