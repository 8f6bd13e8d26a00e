//! The builder of a request: its options, and how it is sent.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::new_request::NewRequest;
use super::policy::RepeatPolicy;
use super::receiver::RequestReceiver;
use super::reply_future::ReplyFuture;
use super::spec::Purpose;
use crate::client::core::ClientCore;
use crate::error::RequestError;
use crate::message::Message;
use crate::name::IntoName;

/// A request that has not been sent yet. Await it to send it.
#[must_use = "a request is sent when it is awaited"]
pub struct RequestBuilder<R: Message> {
    request: NewRequest,
    reply: PhantomData<fn() -> R>,
}

impl<R: Message> RequestBuilder<R> {
    pub(in crate::client) fn new(
        core: &Arc<ClientCore>,
        to: impl IntoName,
        message: impl Message,
        from_handler: bool,
    ) -> Self {
        Self {
            request: NewRequest {
                deadline: core.deadline,
                to: RequestReceiver::new(&core.locations, to),
                core: Arc::clone(core),
                message: Some(Box::new(message)),
                policy: RepeatPolicy::IfNotExecuted,
                purpose: Purpose::Message,
                wait_for_name: false,
                fail_fast: false,
                from_handler,
                headers: None,
            },
            reply: PhantomData,
        }
    }

    /// Sets the time within which the answer must arrive, repeats included. The client's default if
    /// not set; at most [`MAX_DEADLINE`](crate::MAX_DEADLINE). The request ends at most 250 ms
    /// after it.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.request.deadline = deadline;
        self
    }

    /// Allows repeats even if the request may have been executed.
    pub fn idempotent(mut self) -> Self {
        self.request.policy = RepeatPolicy::Always;
        self
    }

    /// Allows no repeat at all, not even if the receiver reports that it did nothing: the first
    /// failure is returned.
    ///
    /// Use this for actors of the Go library that pass on the error of a request of their own. Such
    /// an error has the text of a rejection by their peer (`grid: receiver busy` or
    /// `grid: unknown mailbox`), so it counts as a rejection here, although the actor has executed
    /// the request.
    pub fn once(mut self) -> Self {
        self.request.policy = RepeatPolicy::Never;
        self
    }

    pub(in crate::client) fn purpose(mut self, purpose: Purpose) -> Self {
        self.request.purpose = purpose;
        self
    }

    /// Waits, within the deadline, for a mailbox of the name to be registered. By default, a name
    /// that nobody holds is an error at once.
    pub fn wait_for_name(mut self) -> Self {
        self.request.wait_for_name = true;
        self
    }

    /// Reports at once if nobody can be reached at the address at which the name is registered. By
    /// default, the request waits for another holder, within its deadline.
    ///
    /// A peer that was killed stays registered until its lease expires (15 s by default). Until
    /// then requests to its mailboxes find nobody there, and no other peer can take their names.
    /// With this option they fail with [`Unreachable`](crate::RequestErrorKind::Unreachable): the
    /// request was certainly not executed. A name that has moved meanwhile is still followed. A
    /// peer that was killed is noticed at once; a peer that is frozen or cut off, after the 2 s
    /// that connecting to it may take.
    pub fn fail_fast(mut self) -> Self {
        self.request.fail_fast = true;
        self
    }

    /// Adds a header, which the receiver can read. A name consists of lower-case ASCII letters,
    /// digits, `-`, `_` and `.`; all headers together have at most
    /// [`MAX_HEADER_BYTES`](crate::MAX_HEADER_BYTES), and there are at most
    /// [`MAX_HEADERS`](crate::MAX_HEADERS). An invalid header is reported when the request is
    /// awaited.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let new = self.request.headers.get_or_insert_default();
        if let Err(error) = new.headers.add(name, value) {
            new.refused.get_or_insert(error);
        }
        self
    }

    /// Expects another reply type than the message declares: for a receiver that answers
    /// differently, or [`Payload`](crate::Payload) for any reply.
    pub fn expecting<T: Message>(self) -> RequestBuilder<T> {
        RequestBuilder {
            request: self.request,
            reply: PhantomData,
        }
    }

    /// Sends the request and waits for its answer, as awaiting the builder does.
    ///
    /// # Errors
    ///
    /// Fails with a [`RequestError`], at the deadline at the latest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future signals the receiver that nobody waits; it is then unknown whether the
    /// request was executed.
    pub fn send(self) -> ReplyFuture<R> {
        ReplyFuture::new(self.request)
    }
}

impl<R: Message> IntoFuture for RequestBuilder<R> {
    type Output = Result<R, RequestError>;
    type IntoFuture = ReplyFuture<R>;

    fn into_future(self) -> Self::IntoFuture {
        self.send()
    }
}

impl<R: Message> fmt::Debug for RequestBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("to", &self.request.to)
            .field(
                "message",
                &self
                    .request
                    .message
                    .as_ref()
                    .map_or("", |message| message.wire_name()),
            )
            .field("deadline", &self.request.deadline)
            .finish_non_exhaustive()
    }
}
