//! The answers to calls, as they come over a link and as their callers take them.

use bytes::BytesMut;

use super::calling_state::{CallingState, Leftovers, PLACE_BITS};
use super::pending_call::{CallStage, LinkOutcome, PartialReply, PendingCall, ReadAnswer};
use super::reply_type::ReplyType;
use crate::error::RequestError;
use crate::route::link::{FrameKind, InternedTexts, LinkError, MAX_BODY_BYTES, PlainReply};
use crate::route::slab::{Slab, SlabKey};

impl CallingState {
    /// The call that was sent with this number, if somebody waits for it.
    pub(super) fn call(&mut self, sequence: u64) -> Option<(SlabKey, &mut PendingCall)> {
        let found = self.calls.at(place_of(sequence))?;
        (found.1.sequence == sequence).then_some(found)
    }

    /// A short reply has come, whole. Its bytes stay in the place of its call.
    #[inline]
    pub(super) fn answered_shortly(
        &mut self,
        reply: &PlainReply<'_>,
        types: &mut InternedTexts<ReplyType>,
        left: &mut Leftovers,
    ) -> Result<(), LinkError> {
        let sequence = reply.sequence;
        let credit = reply.length as u64;
        let reply_type = types.get_mut(reply.message_type)?;
        self.spend_credit(sequence, credit)?;
        let Some(call) = waiting_call(&mut self.calls, sequence) else {
            self.unwanted(sequence, credit, true);
            return Ok(());
        };
        self.short_replies.put(place_of(sequence), reply.body);
        call.reply_credit += credit;
        let wire_name = match reply_type.is(call.expected) {
            true => None,
            false => Some(reply_type.name()),
        };
        left.wakers.extend(call.waker.take());
        call.stage = CallStage::Done(LinkOutcome::Short(wire_name));
        self.unanswered.end();
        if call.large.is_some() || call.holds {
            self.answered_large(sequence, left);
        }
        Ok(())
    }

    /// An answer has come, or a part of one.
    pub(super) fn answered(
        &mut self,
        (sequence, credit, answer): (u64, u64, ReadAnswer),
        max_reply_bytes: usize,
        left: &mut Leftovers,
    ) -> Result<(), LinkError> {
        self.spend_credit(sequence, credit)?;
        let Some(call) = waiting_call(&mut self.calls, sequence) else {
            self.unwanted(sequence, credit, answer.is_terminal());
            return Ok(());
        };
        call.reply_credit += credit;
        let outcome = match answer {
            ReadAnswer::Reply(payload) => LinkOutcome::Replied(payload),
            ReadAnswer::Error(error) => LinkOutcome::Failed(error),
            ReadAnswer::Beginning { wire_name, total } => {
                if total > max_reply_bytes || call.partial.is_some() {
                    return Err(LinkError::Content(FrameKind::Reply));
                }
                call.partial = Some(Box::new(PartialReply {
                    wire_name,
                    bytes: BytesMut::with_capacity(MAX_BODY_BYTES.min(total)),
                    total,
                }));
                return Ok(());
            }
            ReadAnswer::Chunk { bytes, is_last } => match call.chunk(&bytes, is_last)? {
                Some(outcome) => outcome,
                None => return Ok(()),
            },
        };
        left.wakers.extend(call.waker.take());
        call.stage = CallStage::Done(outcome);
        call.partial = None;
        self.unanswered.end();
        if call.large.is_some() || call.holds {
            self.answered_large(sequence, left);
        }
        Ok(())
    }

    /// Spends the credit of an answer, to a request that was sent.
    fn spend_credit(&mut self, sequence: u64, credit: u64) -> Result<(), LinkError> {
        self.reply_credit.spend(credit)?;
        match sequence >> PLACE_BITS > self.sequences {
            true => {
                let kind = FrameKind::Reply;
                Err(LinkError::Sequence { kind, sequence })
            }
            false => Ok(()),
        }
    }

    /// Nobody waits for an answer any more. Only the first terminal frame counts.
    fn unwanted(&mut self, sequence: u64, credit: u64, is_terminal: bool) {
        self.returned += credit;
        if is_terminal && self.cancelled.remove(&sequence) {
            self.unanswered.end();
        }
    }

    /// A call is answered whose message was in chunks, or was to be.
    fn answered_large(&mut self, sequence: u64, left: &mut Leftovers) {
        let Some((_, call)) = self.call(sequence) else {
            return;
        };
        left.messages.extend(call.large.take().map(|large| *large));
        if std::mem::take(&mut call.holds) {
            let receiver = call.receiver.clone();
            let rest = self.outbox.remove_large(sequence);
            left.messages.extend(rest.map(|rest| rest.bytes));
            self.order.release(&receiver);
        }
    }

    /// Takes a call that is done. Its credit is to be returned. The bytes of a short reply stay
    /// where they are until the next call is answered.
    #[inline]
    pub(super) fn take_done(&mut self, key: SlabKey) -> LinkOutcome {
        let stage = self.calls.get_mut(key).map(|call| {
            self.returned += call.reply_credit;
            std::mem::replace(&mut call.stage, CallStage::Waiting)
        });
        // Nothing is left of it that runs code of users.
        self.calls.discard(key);
        match stage {
            Some(CallStage::Done(outcome)) => outcome,
            _ => LinkOutcome::Failed(RequestError::no_reply("the call is gone")),
        }
    }
}

impl ReadAnswer {
    /// Whether the request has no further answer.
    const fn is_terminal(&self) -> bool {
        match self {
            Self::Reply(_) | Self::Error(_) => true,
            Self::Chunk { is_last, .. } => *is_last,
            Self::Beginning { .. } => false,
        }
    }
}

/// The call that waits for an answer with this number.
fn waiting_call(calls: &mut Slab<PendingCall>, sequence: u64) -> Option<&mut PendingCall> {
    let (_, call) = calls.at(place_of(sequence))?;
    let is_waiting = call.sequence == sequence && matches!(call.stage, CallStage::Sent);
    is_waiting.then_some(call)
}

/// The place of the call with this number.
const fn place_of(sequence: u64) -> u32 {
    (sequence & ((1 << PLACE_BITS) - 1)) as u32
}
