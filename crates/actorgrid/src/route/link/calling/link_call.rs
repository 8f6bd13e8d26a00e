//! One call over a link.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::called_link::CalledLink;
use super::pending_call::LinkOutcome;
use super::short_reply::ShortReply;
use crate::error::{Executed, RequestError};
use crate::message::{Body, Payload};
use crate::route::call::{Call, LinkRequest};
use crate::route::link::MAX_BODY_BYTES;
use crate::route::slab::SlabKey;

/// Brings a call over a link, and its outcome back. Its first poll decides about its place in the
/// order of the calls, unless it has one already, as it came to the link before.
///
/// # Cancel safety
///
/// Dropped, it cancels the request; `call.executed` says what that may have done.
pub(super) async fn call(
    link: &CalledLink,
    call: &mut Call,
    place: Option<SlabKey>,
) -> LinkOutcome {
    // From here on, dropping this frees its place.
    let mut pending = LinkCall {
        link,
        call,
        key: place,
    };
    // Before its turn comes: it takes long.
    if let Some(Body::Value(value)) = &pending.call.body
        && value.encoded_len() > MAX_BODY_BYTES
    {
        let payload = Payload::new(value.wire_name().to_owned(), value.encode());
        pending.call.body = Some(Body::Encoded(payload));
    }
    let mut reply = ShortReply::EMPTY;
    let outcome = poll_fn(|cx| {
        let LinkCall { link, call, key } = &mut pending;
        link.poll_call(key, call, &mut reply, cx)
    })
    .await;
    match outcome {
        LinkOutcome::Short(wire_name) => {
            let bytes = Bytes::copy_from_slice(reply.bytes());
            let wire_name = wire_name.unwrap_or_default();
            LinkOutcome::Replied(Payload::shared(wire_name, bytes))
        }
        other => other,
    }
}

/// A link that was open, for calls without a future of their own.
#[derive(Clone)]
pub(crate) struct LinkHandle(Arc<CalledLink>);

impl LinkHandle {
    pub(super) const fn new(link: Arc<CalledLink>) -> Self {
        Self(link)
    }

    /// The same, which does not keep the link.
    pub(crate) fn downgrade(&self) -> WeakLinkHandle {
        WeakLinkHandle(Arc::downgrade(&self.0))
    }
}

/// A [`LinkHandle`] to remember. A link that has ended leads to the one after it, so whatever keeps
/// one keeps all that have followed it.
pub(crate) struct WeakLinkHandle(Weak<CalledLink>);

impl WeakLinkHandle {
    /// Returns the link, unless it is gone.
    pub(crate) fn upgrade(&self) -> Option<LinkHandle> {
        self.0.upgrade().map(LinkHandle)
    }
}

impl fmt::Debug for WeakLinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakLinkHandle").finish_non_exhaustive()
    }
}

impl fmt::Debug for LinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkHandle").finish_non_exhaustive()
    }
}

/// A call over a link that was open, without a future of its own. Dropped, it is cancelled.
///
/// The link's task sees to its deadline.
#[derive(Debug)]
pub(crate) struct LinkedCall {
    link: LinkHandle,
    /// None when it has returned.
    key: Option<SlabKey>,
}

/// The place of a call on a link to which it has moved, as the one before has not taken it.
/// Dropped, it is free.
pub(crate) struct MovedCall {
    link: Arc<CalledLink>,
    key: Option<SlabKey>,
}

impl MovedCall {
    /// Takes the place over, if it is on this link.
    pub(super) fn place_on(mut self, link: &Arc<CalledLink>) -> Option<SlabKey> {
        match Arc::ptr_eq(&self.link, link) {
            true => self.key.take(),
            false => None,
        }
    }
}

impl fmt::Debug for MovedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovedCall").finish_non_exhaustive()
    }
}

impl Drop for MovedCall {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.link.abandon(key);
        }
    }
}

/// The outcome of a [`LinkedCall`].
#[derive(Debug)]
pub(crate) enum LinkedOutcome {
    /// The reply is where the caller wanted a short one. None stands for the expected type.
    Short(Option<Arc<str>>),
    Replied(Payload),
    Failed(RequestError),
    /// The deadline has passed.
    Overdue(Executed),
    /// Nothing was sent: the link is not open any more. The call may have a place on the next one.
    Ended(Option<MovedCall>),
    /// Nothing was sent: the message is to go in chunks.
    TooLarge,
}

impl LinkedCall {
    /// Begins a call that has this much time left: reading the clock once more is not free. This
    /// decides about its place in the order of the calls. `expected` is the usual type of a reply.
    #[inline]
    pub(crate) fn begin(
        link: LinkHandle,
        request: &LinkRequest<'_>,
        time_left: Duration,
        expected: &'static str,
        cx: &Context<'_>,
    ) -> Result<Self, LinkedOutcome> {
        match link.0.begin_open(request, time_left, expected, cx) {
            Ok(key) => Ok(Self {
                link,
                key: Some(key),
            }),
            Err(outcome) => Err(LinkedOutcome::of(outcome, &link)),
        }
    }

    /// Polls it. A short reply is written to `reply`.
    #[inline]
    pub(crate) fn poll<'r>(
        &mut self,
        request: impl FnOnce() -> LinkRequest<'r>,
        reply: &mut ShortReply,
        cx: &Context<'_>,
    ) -> Poll<LinkedOutcome> {
        let Self { link, key } = self;
        Poll::Ready(match ready!(link.0.poll_begun(key, request, reply, cx)) {
            LinkOutcome::Short(wire_name) => LinkedOutcome::Short(wire_name),
            outcome => LinkedOutcome::of(outcome, link),
        })
    }
}

impl LinkedOutcome {
    fn of(outcome: LinkOutcome, link: &LinkHandle) -> Self {
        match outcome {
            LinkOutcome::Short(wire_name) => Self::Short(wire_name),
            LinkOutcome::Replied(payload) => Self::Replied(payload),
            LinkOutcome::Failed(error) => Self::Failed(error),
            LinkOutcome::Overdue { executed } => Self::Overdue(executed),
            LinkOutcome::Gone {
                executed: Executed::No,
                ..
            } => Self::Ended(None),
            LinkOutcome::TooLarge => Self::TooLarge,
            LinkOutcome::Moved(key) => Self::Ended(link.0.next().map(|next| MovedCall {
                link: Arc::clone(next),
                key: Some(key),
            })),
            LinkOutcome::Gone { executed, ending } => Self::Failed(ending.lost(executed)),
        }
    }
}

impl Drop for LinkedCall {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.link.0.abandon(key);
        }
    }
}

/// A call that has not returned.
struct LinkCall<'a> {
    link: &'a CalledLink,
    call: &'a mut Call,
    /// None before it has come to the link, and when it has returned.
    key: Option<SlabKey>,
}

impl Drop for LinkCall<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.call.executed = self.link.abandon(key);
        }
    }
}
