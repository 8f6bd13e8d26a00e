//! Why a requester does not get an answer.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::stable_names::stable_names;

/// The kind of a [`RespondError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RespondErrorKind {
    /// The peer is fenced: its actors may have been replaced, so their answers no longer count.
    Fenced,
    /// Nobody waits for the answer any more.
    RequesterGone,
    /// The reply, or the detail of a failure, is larger than its limit.
    TooLarge,
    /// Replies that clients have not received yet fill the room for replies. The requester gets an
    /// error that reports the request as *executed*.
    NoRoom,
}

stable_names! {
    RespondErrorKind {
        Fenced = "fenced",
        RequesterGone = "requester-gone",
        TooLarge = "too-large",
        NoRoom = "no-room",
    }
}

/// Why a requester does not get an answer. Holds the reply: see [`into_reply`](Self::into_reply).
pub struct RespondError<R> {
    /// Boxed, so that the result of a successful answer is small.
    unsent: Box<UnsentAnswer<R>>,
}

struct UnsentAnswer<R> {
    kind: RespondErrorKind,
    requester_waited: bool,
    /// The length of the answer and its limit, in bytes.
    too_large: Option<(usize, usize)>,
    /// In a mutex only because a reply need not be `Sync`, while an error that `?` converts must
    /// be.
    reply: Mutex<Option<R>>,
}

impl<R> RespondError<R> {
    fn new(kind: RespondErrorKind, reply: Option<R>, requester_waited: bool) -> Self {
        Self {
            unsent: Box::new(UnsentAnswer {
                kind,
                requester_waited,
                too_large: None,
                reply: Mutex::new(reply),
            }),
        }
    }

    pub(super) fn fenced(reply: Option<R>, requester_waited: bool) -> Self {
        Self::new(RespondErrorKind::Fenced, reply, requester_waited)
    }

    pub(super) fn requester_gone(reply: Option<R>) -> Self {
        Self::new(RespondErrorKind::RequesterGone, reply, false)
    }

    /// The requester waited for this answer, and has received an error in its place.
    pub(super) fn too_large(reply: Option<R>, length: usize, limit: usize) -> Self {
        let mut error = Self::new(RespondErrorKind::TooLarge, reply, true);
        error.unsent.too_large = Some((length, limit));
        error
    }

    /// The requester waited for this reply, and has received an error in its place.
    pub(super) fn no_room(reply: Option<R>) -> Self {
        Self::new(RespondErrorKind::NoRoom, reply, true)
    }

    pub(super) fn with_reply(mut self, reply: R) -> Self {
        self.unsent.reply = Mutex::new(Some(reply));
        self
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> RespondErrorKind {
        self.unsent.kind
    }

    /// Whether the requester still waited for the answer. It has received an error instead by now,
    /// so it knows that the request has no reply.
    #[must_use]
    pub fn requester_waited(&self) -> bool {
        self.unsent.requester_waited
    }

    /// Returns the reply, for another use; `None` if the answer was an error.
    #[must_use]
    pub fn into_reply(self) -> Option<R> {
        let reply = self.unsent.reply.into_inner();
        reply.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the length of the answer in bytes, if it is too large.
    #[must_use]
    pub fn length(&self) -> Option<usize> {
        self.unsent.too_large.map(|(length, _)| length)
    }

    /// Returns the limit on the length of the answer in bytes, if it is too large.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        self.unsent.too_large.map(|(_, limit)| limit)
    }
}

impl<R> fmt::Display for RespondError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unsent.kind {
            RespondErrorKind::Fenced => {
                f.write_str("the peer is fenced, so the answer does not count")
            }
            RespondErrorKind::RequesterGone => f.write_str("nobody waits for the answer any more"),
            RespondErrorKind::NoRoom => {
                f.write_str("replies that were not received yet leave no room for this one")
            }
            RespondErrorKind::TooLarge => {
                let (length, limit) = self.unsent.too_large.unwrap_or_default();
                write!(f, "the answer has {length} bytes and the limit is {limit}")
            }
        }
    }
}

impl<R> fmt::Debug for RespondError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondError")
            .field("kind", &self.unsent.kind)
            .field("requester_waited", &self.unsent.requester_waited)
            .field("too_large", &self.unsent.too_large)
            .finish_non_exhaustive()
    }
}

impl<R> std::error::Error for RespondError<R> {}
