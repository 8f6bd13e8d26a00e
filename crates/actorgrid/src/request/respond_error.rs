//! Why an answer does not reach its requester.

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
    /// The room for replies is full of replies that clients have not received yet. The requester
    /// gets an error that reports the request as *executed*.
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

/// Why an answer does not reach its requester. Holds the reply, if the answer was one: see
/// [`into_reply`](Self::into_reply).
pub struct RespondError<R> {
    /// Boxed to keep the result of answering small, as it is nearly always `Ok`.
    unsent: Box<UnsentAnswer<R>>,
}

struct UnsentAnswer<R> {
    kind: RespondErrorKind,
    requester_waited: bool,
    /// The length of the reply or of the detail, and the limit on it, in bytes.
    too_large: Option<(usize, usize)>,
    /// In a mutex only to be `Sync`, which `?` requires of an error that it boxes: a reply need not
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

    /// Creates the error for an answer that is too large. The requester still waited for it, and
    /// has been sent an error instead.
    pub(super) fn too_large(reply: Option<R>, length: usize, limit: usize) -> Self {
        let mut error = Self::new(RespondErrorKind::TooLarge, reply, true);
        error.unsent.too_large = Some((length, limit));
        error
    }

    /// Creates the error for a reply that finds no room. The requester still waited for it, and has
    /// been sent an error instead.
    pub(super) fn no_room(reply: Option<R>) -> Self {
        Self::new(RespondErrorKind::NoRoom, reply, true)
    }

    pub(super) fn with_reply(mut self, reply: R) -> Self {
        self.unsent.reply = Mutex::new(Some(reply));
        self
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> RespondErrorKind {
        self.unsent.kind
    }

    /// Whether the requester still waited for the answer. If so, it has been sent an error instead,
    /// and need not wait until its deadline.
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

    /// Returns the length in bytes of the reply, or of the failure's detail with its wire name, if
    /// it is too large.
    #[must_use]
    pub fn length(&self) -> Option<usize> {
        self.unsent.too_large.map(|(length, _)| length)
    }

    /// Returns the limit on this [`length`](Self::length) in bytes, if it is exceeded.
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
                f.write_str("replies that clients have not received yet leave no room for this one")
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
