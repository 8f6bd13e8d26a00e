//! A call over a link that has not returned, and how it ends.

use std::sync::Arc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::Payload;
use crate::name::Name;
use crate::route::link::{FrameKind, GoAwayReason, LinkError};
use crate::route::slab::SlabKey;

/// A call that has not returned.
pub(super) struct PendingCall {
    pub(super) receiver: Name,
    pub(super) is_from_handler: bool,
    /// 0 while it waits.
    pub(super) sequence: u64,
    pub(super) stage: CallStage,
    /// Whether it is in line behind others.
    pub(super) is_in_line: bool,
    /// Whether its caller comes when its turn does.
    pub(super) turn: CallTurn,
    /// Whether it came to the link before this one, which did not take it.
    pub(super) has_moved: bool,
    pub(super) waker: Option<Waker>,
    pub(super) deadline: Deadline,
    /// The type of the reply that its caller expects.
    pub(super) expected: &'static str,
    /// Whether later calls to its receiver wait for it: its message is in chunks.
    pub(super) holds: bool,
    /// The message, until its ticket comes.
    pub(super) large: Option<Box<Bytes>>,
    /// The batch of the send buffer in which its frame is.
    pub(super) batch: u64,
    /// The chunks of the reply that have come.
    pub(super) partial: Option<Box<PartialReply>>,
    /// The credit to return when the reply is handed over or dropped.
    pub(super) reply_credit: u64,
}

pub(super) enum CallStage {
    Waiting,
    Sent,
    Done(LinkOutcome),
}

/// Whether the caller of a call that waits comes when its turn does. One that is not polled, for
/// whatever reason, must not hold up the calls of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallTurn {
    /// It is not called, or has come since.
    Waits,
    /// It was called.
    Called,
    /// It was called before the last look, and has not come.
    Overdue,
}

/// How a call ended.
#[derive(Debug)]
pub(super) enum LinkOutcome {
    /// A reply among the short ones of the link. None stands for the expected type.
    Short(Option<Arc<str>>),
    Replied(Payload),
    Failed(RequestError),
    /// Nothing was sent: its message needs chunks.
    TooLarge,
    /// Its deadline has passed.
    Overdue {
        executed: Executed,
    },
    /// The link has gone and has not taken the call, which has this place on the next one.
    Moved(SlabKey),
    /// The link has gone.
    Gone {
        executed: Executed,
        ending: LinkEnding,
    },
}

pub(super) struct PartialReply {
    pub(super) wire_name: Arc<str>,
    pub(super) bytes: BytesMut,
    pub(super) total: usize,
}

/// How a link ended.
#[derive(Debug, Clone)]
pub(super) enum LinkEnding {
    /// The peer was not reached. Nothing was sent.
    Unreachable(RequestError),
    /// The peer was reached, and it does not speak the link.
    NoLink,
    /// It broke, or was closed.
    Lost(String),
    /// The peer does not answer, and would not over another link either.
    Dead(String),
    /// One side does not understand the other: over another link, the same would happen.
    Mismatch(String),
    /// The peer has no room for the link, or for what came over it.
    Crowded(String),
}

/// An answer, or a part of one, as it was read.
pub(super) enum ReadAnswer {
    Reply(Payload),
    /// The beginning of a reply in chunks.
    Beginning {
        wire_name: Arc<str>,
        total: usize,
    },
    Chunk {
        bytes: Bytes,
        is_last: bool,
    },
    Error(RequestError),
}

impl LinkEnding {
    /// How a link ends for which a side states this reason.
    pub(super) const fn of(reason: GoAwayReason, text: String) -> Self {
        match reason {
            GoAwayReason::Version
            | GoAwayReason::Feature
            | GoAwayReason::Protocol
            | GoAwayReason::FrameSize
            | GoAwayReason::Reference
            | GoAwayReason::FlowControl
            | GoAwayReason::Other(16..) => Self::Mismatch(text),
            GoAwayReason::Crowded | GoAwayReason::Flood => Self::Crowded(text),
            GoAwayReason::Shutdown
            | GoAwayReason::Idle
            | GoAwayReason::Replaced
            | GoAwayReason::Untrusted
            | GoAwayReason::Namespace
            | GoAwayReason::Incarnation
            | GoAwayReason::Timeout
            | GoAwayReason::Internal
            | GoAwayReason::Other(_) => Self::Lost(text),
        }
    }
}

impl LinkEnding {
    /// The error of a call on a link that has ended so.
    pub(super) fn lost(&self, executed: Executed) -> RequestError {
        let text = match self {
            Self::Lost(text) | Self::Dead(text) | Self::Mismatch(text) | Self::Crowded(text) => {
                text
            }
            Self::Unreachable(error) => error.text(),
            Self::NoLink => "it does not speak the link",
        };
        match executed {
            Executed::No => RequestError::refused(
                RequestErrorKind::Unreachable,
                format!("the peer did not take the request: {text}"),
            ),
            executed => RequestError::new(
                RequestErrorKind::ConnectionLost,
                executed,
                format!("the link to the peer broke: {text}"),
            ),
        }
    }
}

impl PendingCall {
    /// A call that waits for its turn.
    #[inline]
    pub(super) const fn new(receiver: Name, is_from_handler: bool, deadline: Deadline) -> Self {
        Self {
            deadline,
            expected: "",
            receiver,
            is_from_handler,
            sequence: 0,
            stage: CallStage::Waiting,
            is_in_line: false,
            turn: CallTurn::Waits,
            has_moved: false,
            waker: None,
            holds: false,
            large: None,
            batch: 0,
            partial: None,
            reply_credit: 0,
        }
    }

    /// Replaces this call by one that has ended. Returns what is left of it: its waker, and values
    /// whose drop may run code of a user, so drop it without the lock.
    pub(super) fn end(&mut self, outcome: LinkOutcome) -> Self {
        let ended = Self {
            stage: CallStage::Done(outcome),
            reply_credit: self.reply_credit,
            ..Self::new(self.receiver.clone(), self.is_from_handler, self.deadline)
        };
        std::mem::replace(self, ended)
    }

    /// A chunk of the reply has come. Returns the outcome with the last one.
    pub(super) fn chunk(
        &mut self,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<Option<LinkOutcome>, LinkError> {
        let wrong = LinkError::Content(FrameKind::Chunk);
        let partial = self.partial.as_mut().ok_or(wrong)?;
        let length = partial.bytes.len() + bytes.len();
        if length > partial.total || (length == partial.total) != is_last {
            return Err(wrong);
        }
        if partial.bytes.capacity() < length {
            // Grow by doubling, but not beyond the message.
            let grown = (2 * partial.bytes.len()).clamp(length, partial.total);
            partial.bytes.reserve(grown - partial.bytes.len());
        }
        partial.bytes.extend_from_slice(bytes);
        if !is_last {
            return Ok(None);
        }
        let partial = self.partial.take().ok_or(wrong)?;
        let payload = Payload::shared(partial.wire_name, partial.bytes.freeze());
        Ok(Some(LinkOutcome::Replied(payload)))
    }
}

impl LinkOutcome {
    /// Returns whether the call may have been executed.
    pub(super) fn executed(&self) -> Executed {
        match self {
            Self::Short(_) | Self::Replied(_) => Executed::Yes,
            Self::Failed(error) => error.executed(),
            Self::Overdue { executed } | Self::Gone { executed, .. } => *executed,
            Self::TooLarge | Self::Moved(_) => Executed::No,
        }
    }
}
