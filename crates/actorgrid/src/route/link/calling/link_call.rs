//! One call over a link.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::called_link::CalledLink;
use super::pending_call::LinkOutcome;
use crate::error::{Executed, RequestError};
use crate::message::{Body, Payload};
use crate::route::call::Call;
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
    poll_fn(|cx| {
        let LinkCall { link, call, key } = &mut pending;
        link.poll_call(key, call, cx)
    })
    .await
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

/// A call that begins over a link that is open, without a future of its own.
///
/// The link's task sees to its deadline. Its owner must [give it up](Self::give_up) if it does not
/// poll it to its end.
#[derive(Debug)]
pub(crate) struct LinkedCall {
    link: LinkHandle,
    /// None before it has come to the link, and when it has returned.
    key: Option<SlabKey>,
    /// The time that it has at the first poll: reading the clock once more is not free.
    time_left: Duration,
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
    Replied(Payload),
    Failed(RequestError),
    /// The deadline has passed. The call says whether it may have been executed.
    Overdue,
    /// Nothing was sent: the link is not open any more. The call may have a place on the next one.
    Ended(Option<MovedCall>),
    /// Nothing was sent: the message is to go in chunks.
    TooLarge,
}

impl LinkedCall {
    /// A call that has this much time left, and is polled at once.
    pub(crate) const fn new(link: LinkHandle, time_left: Duration) -> Self {
        Self {
            link,
            key: None,
            time_left,
        }
    }

    /// Polls it. The first poll decides about its place in the order of the calls.
    pub(crate) fn poll(&mut self, call: &mut Call, cx: &mut Context<'_>) -> Poll<LinkedOutcome> {
        let link = &self.link.0;
        let polled = link.poll_open_call(&mut self.key, call, self.time_left, cx);
        let outcome = ready!(polled);
        call.executed = outcome.executed();
        Poll::Ready(match outcome {
            LinkOutcome::Replied(payload) => LinkedOutcome::Replied(payload),
            LinkOutcome::Failed(error) => LinkedOutcome::Failed(error),
            LinkOutcome::Overdue { .. } => LinkedOutcome::Overdue,
            LinkOutcome::Gone {
                executed: Executed::No,
                ..
            } => LinkedOutcome::Ended(None),
            LinkOutcome::TooLarge => LinkedOutcome::TooLarge,
            LinkOutcome::Moved(key) => {
                let next = self.link.0.next().cloned();
                LinkedOutcome::Ended(next.map(|link| MovedCall {
                    link,
                    key: Some(key),
                }))
            }
            LinkOutcome::Gone { executed, ending } => LinkedOutcome::Failed(ending.lost(executed)),
        })
    }

    /// Cancels it, unless it has returned.
    pub(crate) fn give_up(&mut self, call: &mut Call) {
        if let Some(key) = self.key.take() {
            call.executed = self.link.0.abandon(key);
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
