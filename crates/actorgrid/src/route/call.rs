//! One request on its way, and the trait of all routes.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::headers::Headers;
use super::meta::{Meta, RequestId};
use crate::environment::Deadline;
use crate::error::{Executed, RequestError};
use crate::message::{Body, BodyRef, Payload};
use crate::name::Name;
use crate::token::Token;

/// The default size limit of a message, in both directions: 4 MiB, the limit of the Go library.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// One request on its way.
pub(crate) struct Call {
    pub(crate) receiver: Name,
    pub(crate) meta: Meta,
    /// The message. A route that hands it over takes it, and puts it back if it is rejected.
    pub(crate) body: Option<Body>,
    /// Keep a copy of the message when it is handed over by value: the call may be retried even
    /// then.
    pub(crate) keep: bool,
    /// Whether the receiver may have executed the request by now. A route sets this before it hands
    /// the message over, so that a caller that stops waiting knows.
    pub(crate) executed: Executed,
    /// Whether code that itself answers a request sends it: it may use what a link reserves for
    /// such, so that handlers that call each other never wait for each other's room.
    pub(crate) from_handler: bool,
}

impl Call {
    /// The request for a link. `None` without a message or a token.
    pub(super) fn link_request(&self) -> Option<LinkRequest<'_>> {
        let body = self.body.as_ref()?.by_ref();
        Some(LinkRequest {
            receiver: &self.receiver,
            guess: None,
            id: self.meta.id,
            token: self.meta.token?,
            deadline: self.meta.deadline,
            headers: Some(&self.meta.headers).filter(|headers| !headers.is_empty()),
            wire_name: body.wire_name(),
            body,
            from_handler: self.from_handler,
        })
    }

    /// Returns the message for a route that moves it.
    pub(super) fn take_body(&mut self) -> Option<Body> {
        if self.keep
            && let Some(body) = &self.body
        {
            let copy = Payload::new(body.wire_name().to_owned(), body.encode());
            return self.body.replace(Body::Encoded(copy));
        }
        self.body.take()
    }
}

/// A request as a link reads it, to send it: it stays with its caller, who may have to repeat it.
#[derive(Clone, Copy)]
pub(crate) struct LinkRequest<'a> {
    pub(crate) receiver: &'a Name,
    /// Where the link looks for the id of the receiver first.
    pub(crate) guess: Option<&'a ReferenceGuess>,
    pub(crate) id: RequestId,
    pub(crate) token: Token,
    pub(crate) deadline: Deadline,
    pub(crate) headers: Option<&'a Headers>,
    /// The wire name of the message, which is code of the message: it does not run with a lock.
    pub(crate) wire_name: &'a str,
    pub(crate) body: BodyRef<'a>,
    pub(crate) from_handler: bool,
}

/// A guess at the place of a receiver among those that a link has defined. It may be wrong.
#[derive(Debug, Default)]
pub(crate) struct ReferenceGuess(AtomicUsize);

impl ReferenceGuess {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, place: usize) {
        self.0.store(place, Ordering::Relaxed);
    }
}

/// A way to the peer that holds a mailbox.
pub(crate) trait Route {
    /// Delivers the call to its receiver, and returns the answer. The caller bounds the time;
    /// dropping the future signals to the receiver that nobody waits any more.
    fn call(&self, call: &mut Call) -> impl Future<Output = Result<Body, RequestError>> + Send;
}
