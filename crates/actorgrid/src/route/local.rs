//! The route to the mailboxes of the same process.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use super::answer::ReplyTo;
use super::call::{Call, Route};
use super::directory::{Directory, Resolved, answered, deliver, deliver_to};
use super::incoming::Incoming;
use super::local_call::{LocalCall, TakenPlace};
use super::local_calls::{CallDeadlines, LocalCalls};
use super::local_reply::LocalReply;
use super::meta::Meta;
use crate::environment::Environment;
use crate::error::RequestError;
use crate::message::Body;

/// The route to the mailboxes of the same process: messages move by value.
#[derive(Clone)]
pub(crate) struct LocalRoute {
    directory: Arc<dyn Directory>,
    calls: Arc<LocalCalls>,
    max_message_bytes: usize,
}

/// A request to a mailbox of the same process.
pub(crate) struct LocalRequest<'a> {
    pub(crate) receiver: &'a str,
    pub(crate) body: Body,
    pub(crate) meta: Meta,
}

/// A place for a request.
pub(crate) struct LocalReservation {
    place: TakenPlace,
    reply: LocalReply,
}

/// A request that was not queued, and so was not executed.
#[derive(Debug)]
pub(crate) struct LocalRefusal {
    pub(crate) error: RequestError,
    /// The message, if it is still there.
    pub(crate) body: Option<Body>,
}

impl LocalRoute {
    /// Creates it on the runtime of its peer, with the task that ends calls at their deadlines.
    pub(crate) fn start(
        directory: Arc<dyn Directory>,
        max_message_bytes: usize,
        environment: &Environment,
    ) -> (Self, CallDeadlines) {
        let (calls, deadlines) = LocalCalls::start(&directory, environment);
        let route = Self {
            calls,
            directory,
            max_message_bytes,
        };
        (route, deadlines)
    }

    /// Whether this peer has the name open, or is deciding it.
    pub(crate) fn knows(&self, name: &str) -> bool {
        !matches!(self.resolve(name), Resolved::Absent)
    }

    pub(crate) fn resolve(&self, name: &str) -> Resolved {
        self.directory.resolve(name)
    }

    /// Takes a place for a request with this metadata and so much time. There is none for callers
    /// on other runtimes than the peer's, nor if the time is very short or many calls are
    /// unanswered: they [call](Route::call).
    pub(crate) fn reserve(
        &self,
        meta: &Meta,
        time: Duration,
        cx: &Context<'_>,
    ) -> Option<LocalReservation> {
        let (place, reply) = self.calls.begin(meta, time, cx)?;
        Some(LocalReservation { place, reply })
    }

    /// Begins a call to a receiver that was resolved a moment ago. The caller is woken at the
    /// deadline, at most some milliseconds later.
    pub(crate) fn begin(
        &self,
        resolved: Resolved,
        reserved: LocalReservation,
        request: LocalRequest<'_>,
    ) -> Result<LocalCall, LocalRefusal> {
        let LocalReservation { place, reply } = reserved;
        let LocalRequest {
            receiver,
            body,
            meta,
        } = request;
        if let Err(error) = self.check(&body) {
            reply.forget();
            let body = Some(body);
            return Err(LocalRefusal { error, body });
        }
        let incoming = Incoming::new(body, meta, self.max_message_bytes, ReplyTo::local(reply));
        match deliver_to(&*self.directory, resolved, receiver, incoming) {
            Ok(queued) => Ok(place.queued(queued)),
            Err(refused) => Err(LocalRefusal {
                error: refused.error,
                body: refused.body,
            }),
        }
    }

    /// The number of calls that are not answered.
    #[cfg(test)]
    pub(super) fn unanswered(&self) -> usize {
        self.calls.len()
    }

    fn check(&self, body: &Body) -> Result<(), RequestError> {
        let length = body.encoded_len();
        match length > self.max_message_bytes {
            true => Err(RequestError::message_too_large(
                length,
                self.max_message_bytes,
            )),
            false => Ok(()),
        }
    }
}

impl Route for LocalRoute {
    async fn call(&self, call: &mut Call) -> Result<Body, RequestError> {
        call.body.as_ref().map_or(Ok(()), |body| self.check(body))?;
        // A call without a message was handed over before, and only a call that keeps its message
        // is retried after that.
        let Some(body) = call.take_body() else {
            return Err(RequestError::no_reply("the message is gone"));
        };
        let (reply_to, answer) = ReplyTo::channel();
        let meta = call.meta.clone();
        let incoming = Incoming::new(body, meta, self.max_message_bytes, reply_to);
        match deliver(&*self.directory, call.receiver.as_str(), incoming) {
            Ok(queued) => {
                let answered = answered(&*self.directory, queued, answer, &mut call.executed);
                let charged = answered.await;
                if let Some(body) = charged.returned {
                    call.body = Some(*body);
                }
                charged.answer
            }
            Err(refused) => {
                if refused.body.is_some() {
                    call.body = refused.body;
                }
                Err(refused.error)
            }
        }
    }
}
