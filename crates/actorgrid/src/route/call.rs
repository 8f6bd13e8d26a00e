//! One request on its way, and the trait of all routes.

use std::future::Future;

use super::meta::Meta;
use crate::error::{Executed, RequestError};
use crate::message::{Body, Payload};
use crate::name::Name;

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

/// A way to the peer that holds a mailbox.
pub(crate) trait Route {
    /// Delivers the call to its receiver, and returns the answer. The caller bounds the time;
    /// dropping the future signals to the receiver that nobody waits any more.
    fn call(&self, call: &mut Call) -> impl Future<Output = Result<Body, RequestError>> + Send;
}
