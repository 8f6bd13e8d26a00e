//! The state of an accepted link: the requests that are unanswered, and their answers. It neither
//! waits nor wakes: [`ServedLink`](super::served_link) locks it and does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::encoded_reply::{EncodedReply, Unencodable, credit_of, encode};
use super::waiting_replies::WaitingReplies;
use crate::error::RequestError;
use crate::message::{AnyMessage, Body};
use crate::route::budget::{BudgetFull, Charge, ConnectionBudget};
use crate::route::link::credit::{ReplyCreditLine, Unanswered};
use crate::route::link::outbox::{LargeMessage, Outbox};
use crate::route::link::{
    ErrorFrame, FrameContent, HEADER_BYTES, Interner, MAX_BODY_BYTES, ReplyFrame,
};
use crate::route::pending::REPLY_BYTES;
use crate::route::request_source::RequestKey;
use crate::route::slab::Slab;

/// While more bytes of urgent frames than this wait for the client, nothing of it is read.
/// Thousands of links may have as many at a time, which no budget counts.
pub(super) const MAX_URGENT_BYTES: usize = 64 * 1024;

/// The state that the task of a link and everyone who answers a request share, behind a lock.
pub(super) struct ServedState {
    /// Those that are unanswered, and places for some that come next.
    pub(super) requests: Slab<ServedRequest>,
    pub(super) unanswered: Unanswered,
    pub(super) outbox: Outbox,
    pub(super) types: Interner,
    pub(super) credit: ReplyCreditLine,
    /// Replies for which there is no credit, in order.
    pub(super) waiting: WaitingReplies<EncodedReply>,
    /// Large replies, for the link's task.
    pub(super) unencoded: Vec<UnencodedReply>,
    /// Whether the one unanswered request is all that happens on the link.
    pub(super) is_alone: bool,
}

/// A request that is unanswered.
#[derive(Default)]
pub(super) struct ServedRequest {
    /// The task that waits until nobody wants the answer any more.
    pub(super) waiter: Option<Waker>,
}

/// A large reply that is yet to be encoded.
pub(super) struct UnencodedReply {
    pub(super) key: RequestKey,
    pub(super) wire_name: String,
    pub(super) body: Body,
    pub(super) length: usize,
    pub(super) charge: Option<Charge>,
}

/// Why a small reply was not sent.
pub(super) enum NotSmall {
    Unencodable,
    NoRoom,
}

impl From<Unencodable> for NotSmall {
    fn from(_: Unencodable) -> Self {
        Self::Unencodable
    }
}

impl From<BudgetFull> for NotSmall {
    fn from(_: BudgetFull) -> Self {
        Self::NoRoom
    }
}

impl ServedState {
    /// A request is answered.
    pub(super) fn finish(&mut self, key: RequestKey) -> Option<ServedRequest> {
        let request = self.requests.remove(key.place)?;
        self.unanswered.end();
        Some(request)
    }

    pub(super) fn send_error(&mut self, sequence: u64, error: &RequestError) {
        let frame = ErrorFrame::of(sequence, error);
        // Those of requests that were read before reading stopped.
        let frame = match self.outbox.urgent_bytes() > MAX_URGENT_BYTES {
            true => frame.shortened(),
            false => frame,
        };
        // It fails only if it is too large, which no error is.
        let _ = frame.encode(self.outbox.urgent());
    }

    pub(super) fn send_error_in_order(&mut self, sequence: u64, error: &RequestError) {
        let _ = ErrorFrame::of(sequence, error).encode(self.outbox.data());
    }

    /// Sends a reply of at most 65 KiB: it is encoded straight into the send buffer.
    pub(super) fn send_small(
        &mut self,
        key: RequestKey,
        wire_name: &str,
        body: &dyn AnyMessage,
        length: usize,
        charge: Option<Charge>,
        budget: &ConnectionBudget,
    ) -> Result<(), NotSmall> {
        if !self.waiting.is_empty() || !self.credit.allows(credit_of(wire_name, length)) {
            let charge = match charge {
                Some(charge) => charge,
                None => budget.charge(length + REPLY_BYTES)?,
            };
            let reply = EncodedReply {
                sequence: key.sequence,
                until: key.deadline,
                wire_name: wire_name.to_owned(),
                bytes: encode(|| body.encode(), length)?,
                charge: Some(charge),
            };
            self.wait(reply);
            return Ok(());
        }
        let paid = if charge.is_some() {
            0
        } else {
            length + REPLY_BYTES
        };
        self.outbox.pay(paid)?;
        let reference = self.types.reference(wire_name);
        let data = self.outbox.data();
        let start = data.len();
        let frame = ReplyFrame {
            sequence: key.sequence,
            message_type: reference,
            content: FrameContent::Whole(&[]),
        };
        let open = frame.begin(data, length);
        let body_start = data.len();
        // Code of the message, which may panic, and may write more or less than it says.
        let encoded = catch_unwind(AssertUnwindSafe(|| body.encode_into(data)));
        if data.len() < body_start {
            // It has removed what others have written.
            self.outbox.break_off();
            return Err(NotSmall::Unencodable);
        }
        let is_encoded = match encoded.is_ok() && data.len() == body_start + length {
            true => open.finish(data).is_ok(),
            false => {
                open.discard(data);
                false
            }
        };
        if !is_encoded {
            self.types.forget(reference);
            self.outbox.unpay(paid);
            return Err(NotSmall::Unencodable);
        }
        let used = data.len() - start - HEADER_BYTES;
        // Never more than was checked.
        let _ = self.credit.spend(used as u64);
        self.outbox.charge(charge);
        Ok(())
    }

    pub(super) fn send_or_wait(&mut self, reply: EncodedReply) {
        match self.waiting.is_empty() && self.credit.allows(reply.credit()) {
            true => self.send_encoded(reply),
            false => self.wait(reply),
        }
    }

    /// Keeps a reply until there is credit for it. Until then its request counts as unanswered:
    /// a client that returns no credit must not have any number of replies waiting.
    pub(super) fn wait(&mut self, reply: EncodedReply) {
        self.unanswered.begin();
        self.waiting.push_back(reply);
    }

    /// Sends a reply for which there is credit.
    pub(super) fn send_encoded(&mut self, reply: EncodedReply) {
        let EncodedReply {
            sequence,
            wire_name,
            bytes,
            charge,
            ..
        } = reply;
        let is_large = bytes.len() > MAX_BODY_BYTES;
        let content = match is_large {
            true => FrameContent::Chunked {
                bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            },
            false => FrameContent::Whole(&bytes),
        };
        let reference = self.types.reference(&wire_name);
        let frame = ReplyFrame {
            sequence,
            message_type: reference,
            content,
        };
        let data = self.outbox.data();
        let start = data.len();
        if frame.encode(data).is_err() {
            self.types.forget(reference);
            self.send_error(sequence, &Unencodable::error());
            return;
        }
        let rest = if is_large { bytes.len() } else { 0 };
        let used = data.len() - start - HEADER_BYTES + rest;
        let _ = self.credit.spend(used as u64);
        match is_large {
            true => self.outbox.push_large(LargeMessage {
                sequence,
                bytes,
                charge,
            }),
            false => self.outbox.charge(charge),
        }
    }
}
