//! A call over a link that has not returned, and how it ends.

use std::sync::Arc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use crate::error::{Executed, RequestError};
use crate::message::Payload;
use crate::name::Name;
use crate::route::link::{FrameKind, LinkError};

/// A call that has not returned.
pub(super) struct PendingCall {
    /// 0 while it waits.
    pub(super) sequence: u64,
    pub(super) stage: CallStage,
    /// Whether it is in line behind others.
    pub(super) is_in_line: bool,
    pub(super) waker: Option<Waker>,
    /// The receiver that later calls wait for, while its message is in chunks.
    pub(super) holds: Option<Name>,
    /// The message, until its ticket comes.
    pub(super) large: Option<Bytes>,
    /// The batch of the send buffer in which its frame is.
    pub(super) batch: u64,
    /// The chunks of the reply that have come.
    pub(super) partial: Option<PartialReply>,
    /// The credit to return when the reply is handed over or dropped.
    pub(super) reply_credit: u64,
}

pub(super) enum CallStage {
    Waiting,
    Sent,
    Done(LinkOutcome),
}

/// How a call ended.
#[derive(Debug)]
pub(super) enum LinkOutcome {
    Replied(Payload),
    Failed(RequestError),
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

impl PendingCall {
    /// A call that waits for its turn.
    pub(super) const fn new() -> Self {
        Self {
            sequence: 0,
            stage: CallStage::Waiting,
            is_in_line: false,
            waker: None,
            holds: None,
            large: None,
            batch: 0,
            partial: None,
            reply_credit: 0,
        }
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
            Self::Replied(_) => Executed::Yes,
            Self::Failed(error) => error.executed(),
            Self::Gone { executed, .. } => *executed,
        }
    }
}
