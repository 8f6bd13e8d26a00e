//! The state of a link to a peer: which calls are sent, wait, or are done. It neither waits nor
//! wakes: [`CalledLink`](super::called_link) locks it and does.

use std::collections::HashSet;
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foldhash::fast::RandomState;

use super::call_order::CallOrder;
use super::pending_call::{
    CallStage, CallTurn, LinkEnding, LinkOutcome, PartialReply, PendingCall, ReadAnswer,
};
use super::request_encoding::{credit_of, encode_message, millis_up};
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::Body;
use crate::route::call::Call;
use crate::route::link::credit::{ReplyCreditLine, RequestCreditLine, Unanswered};
use crate::route::link::outbox::Outbox;
use crate::route::link::{
    CancelFrame, CreditFrame, FrameContent, FrameKind, HEADER_BYTES, HeaderFields, HelloLimits,
    Interner, LinkError, MAX_BODY_BYTES, MAX_RECEIVER_BYTES, MAX_TYPE_BYTES, RequestFrame,
};
use crate::route::slab::{Slab, SlabKey};
use crate::token::Token;

/// The calls that may wait for credit on a link. Each has its caller, who gives up at its deadline.
const MAX_WAITING: usize = 8 * 1024;
/// The calls that are sent and unanswered, however many the peer allows.
const MAX_UNANSWERED: u32 = 16 * 1024;
/// The low bits of a sequence number are the place of its call, so that an answer finds it.
const PLACE_BITS: u32 = 16;
/// The calls that have not returned: each needs a place with a number of its own. The callers of
/// some have their answers and have not looked yet.
const MAX_CALLS: usize = (1 << PLACE_BITS) - 1;
/// The callers that are called at once behind one that was called and has not come: the others of
/// its task, most likely.
const CALLED_AT_ONCE: usize = 64;

/// The state of a link to a peer.
pub(super) struct CallingState {
    pub(super) phase: LinkPhase,
    pub(super) calls: Slab<PendingCall>,
    pub(super) waiting: usize,
    pub(super) order: CallOrder<SlabKey>,
    pub(super) unanswered: Unanswered,
    /// The numbers of those of which nobody waits for the answer. As many as are unanswered.
    pub(super) cancelled: HashSet<u64, RandomState>,
    pub(super) credit: RequestCreditLine,
    /// The largest message that the peer takes.
    pub(super) max_message_bytes: usize,
    pub(super) names: Interner,
    pub(super) types: Interner,
    pub(super) outbox: Outbox,
    /// Of the replies that the peer may send.
    pub(super) reply_credit: ReplyCreditLine,
    /// Credit that is to be returned.
    pub(super) returned: u64,
    pub(super) sequences: u64,
    /// Grows with each call.
    pub(super) uses: u64,
    /// No call that has not returned has an earlier deadline.
    pub(super) earliest: Option<Deadline>,
    /// When the link's task looks at deadlines next.
    pub(super) sweep_at: Option<Deadline>,
}

/// The phase of a link.
#[derive(Debug)]
pub(super) enum LinkPhase {
    /// Calls wait until it is open.
    Connecting,
    Open,
    /// No further calls are sent. How it will have ended.
    Closing(LinkEnding),
    Ended(LinkEnding),
}

/// Why a call is not sent now.
pub(super) enum NotNow {
    /// It waits.
    Waits,
    Fails(LinkOutcome),
}

/// Whatever is done without the lock: wakers are woken, and values are dropped, which may run code
/// of users.
#[derive(Default)]
pub(super) struct Leftovers {
    pub(super) wakers: Vec<Waker>,
    pub(super) messages: Vec<Bytes>,
}

impl CallingState {
    /// That of a link that is about to be opened, by a client with these limits.
    pub(super) fn new(own: HelloLimits) -> Self {
        let none = HelloLimits::default();
        Self {
            phase: LinkPhase::Connecting,
            calls: Slab::new(),
            waiting: 0,
            order: CallOrder::new(),
            unanswered: Unanswered::new(0),
            cancelled: HashSet::default(),
            credit: RequestCreditLine::new(0, 0),
            max_message_bytes: usize::MAX,
            names: Interner::new(none.names, MAX_RECEIVER_BYTES),
            types: Interner::new(none.types, MAX_TYPE_BYTES),
            outbox: Outbox::new(),
            reply_credit: ReplyCreditLine::new(own.credit_bytes),
            returned: 0,
            sequences: 0,
            uses: 0,
            earliest: None,
            sweep_at: None,
        }
    }

    /// The link is open, to a peer with these limits.
    pub(super) fn open(&mut self, peer: HelloLimits) {
        self.phase = LinkPhase::Open;
        self.unanswered = Unanswered::new(peer.max_unanswered.min(MAX_UNANSWERED));
        self.credit = RequestCreditLine::new(peer.credit_requests, peer.credit_bytes);
        self.max_message_bytes = usize::try_from(peer.max_message_bytes).unwrap_or(usize::MAX);
        self.names = Interner::new(peer.names, MAX_RECEIVER_BYTES);
        self.types = Interner::new(peer.types, MAX_TYPE_BYTES);
    }

    /// A call comes to the link.
    pub(super) fn arrive(&mut self, call: &Call) -> Result<SlabKey, LinkOutcome> {
        self.uses += 1;
        match &self.phase {
            LinkPhase::Connecting | LinkPhase::Open => {}
            LinkPhase::Closing(ending) | LinkPhase::Ended(ending) => {
                return Err(LinkOutcome::Gone {
                    executed: Executed::No,
                    ending: ending.clone(),
                });
            }
        }
        if self.waiting >= MAX_WAITING || self.calls.len() >= MAX_CALLS {
            return Err(LinkOutcome::Failed(too_many_waiting()));
        }
        self.waiting += 1;
        let deadline = call.meta.deadline;
        self.note_deadline(deadline);
        let pending = PendingCall::new(call.receiver.clone(), call.from_handler, deadline);
        Ok(self.calls.insert(pending))
    }

    /// A call comes from the link before, which did not take it. It waits behind those that have
    /// come before it, and newer calls wait behind it, whenever its caller comes.
    fn adopt(&mut self, mut call: PendingCall) -> SlabKey {
        self.uses += 1;
        self.waiting += 1;
        call.is_in_line = true;
        call.has_moved = true;
        self.note_deadline(call.deadline);
        let (receiver, is_from_handler) = (call.receiver.clone(), call.is_from_handler);
        let key = self.calls.insert(call);
        self.order.wait(key, &receiver, is_from_handler);
        key
    }

    /// The caller of a call that waits has come.
    pub(super) fn come(&mut self, key: SlabKey) {
        if let Some(pending) = self.calls.get_mut(key)
            && std::mem::replace(&mut pending.turn, CallTurn::Waits) == CallTurn::Overdue
        {
            self.order.unpark(key, &pending.receiver);
        }
    }

    /// Sends a call if its turn has come. `time_left` is known if the clock was read a moment ago.
    pub(super) fn send(
        &mut self,
        key: SlabKey,
        call: &Call,
        time_left: Option<Duration>,
    ) -> Result<(), NotNow> {
        let fails = |error| Err(NotNow::Fails(LinkOutcome::Failed(error)));
        let Some(pending) = self.calls.get(key) else {
            return fails(RequestError::no_reply("the call is gone"));
        };
        let is_in_line = pending.is_in_line;
        let is_from_handler = call.from_handler;
        let has_turn = match is_in_line {
            true => self.order.first().is_some_and(|(first, _)| first == key),
            false => self.order.is_free(&call.receiver, is_from_handler),
        };
        let (Some(body), Some(token)) = (&call.body, call.meta.token) else {
            return fails(RequestError::refused(
                RequestErrorKind::InvalidHeaders,
                "a request over a link has a message and a token",
            ));
        };
        let length = body.encoded_len();
        if length > self.max_message_bytes {
            let limit = self.max_message_bytes;
            return fails(RequestError::message_too_large(length, limit));
        }
        let may_send = has_turn
            && matches!(self.phase, LinkPhase::Open)
            && self.unanswered.allows(is_from_handler)
            && self
                .credit
                .allows(credit_of(call, body, length), is_from_handler);
        if !may_send {
            if !is_in_line {
                self.order.wait(key, &call.receiver, is_from_handler);
                if let Some(pending) = self.calls.get_mut(key) {
                    pending.is_in_line = true;
                }
            }
            return Err(NotNow::Waits);
        }
        let time_left = time_left.unwrap_or_else(|| call.meta.deadline.remaining());
        if time_left.is_zero() {
            return fails(RequestError::deadline(Executed::No));
        }
        self.encode(key, call, body, token, length, time_left)
            .map_err(|error| NotNow::Fails(LinkOutcome::Failed(error)))?;
        if is_in_line {
            self.order.advance();
        }
        self.waiting -= 1;
        self.unanswered.begin();
        if length > MAX_BODY_BYTES {
            self.order.hold(&call.receiver);
        }
        Ok(())
    }

    /// Encodes a request straight into the send buffer.
    fn encode(
        &mut self,
        key: SlabKey,
        call: &Call,
        body: &Body,
        token: Token,
        length: usize,
        time_left: Duration,
    ) -> Result<(), RequestError> {
        let Self {
            names,
            types,
            outbox,
            calls,
            credit,
            sequences,
            ..
        } = self;
        let is_large = length > MAX_BODY_BYTES;
        let sequence = (*sequences + 1) << PLACE_BITS | u64::from(key.index);
        let receiver = names.reference(call.receiver.as_str());
        let message_type = types.reference(body.wire_name());
        let frame = RequestFrame {
            sequence,
            is_from_handler: call.from_handler,
            time_left_ms: millis_up(time_left),
            id: call.meta.id,
            token,
            receiver,
            message_type,
            headers: HeaderFields::of(&call.meta.headers),
            content: match is_large {
                true => FrameContent::Chunked {
                    bytes: u32::try_from(length).unwrap_or(u32::MAX),
                },
                false => FrameContent::Whole(&[]),
            },
        };
        let data = outbox.data();
        let start = data.len();
        let open = frame.begin(data, if is_large { 0 } else { length });
        let body_start = data.len();
        let message = encode_message(body, data, length);
        let is_intact = data.len() >= body_start;
        let finished = message.filter(|_| is_intact && open.finish(data).is_ok());
        let Some(large) = finished else {
            match is_intact {
                true => data.truncate(start),
                false => outbox.break_off(),
            }
            names.forget(receiver);
            types.forget(message_type);
            let text = "the message cannot be encoded";
            return Err(RequestError::refused(
                RequestErrorKind::InvalidMessage,
                text,
            ));
        };
        *sequences += 1;
        let used = data.len() - start - HEADER_BYTES;
        // Never more than was checked.
        let _ = credit.spend(used as u64, call.from_handler);
        let batch = outbox.next_batch();
        if let Some(pending) = calls.get_mut(key) {
            pending.sequence = sequence;
            pending.stage = CallStage::Sent;
            pending.batch = batch;
            pending.holds = is_large;
            pending.large = large;
        }
        Ok(())
    }

    /// The call that was sent with this number, if somebody waits for it.
    pub(super) fn call(&mut self, sequence: u64) -> Option<(SlabKey, &mut PendingCall)> {
        let place = u32::try_from(sequence & ((1 << PLACE_BITS) - 1)).ok()?;
        let found = self.calls.at(place)?;
        (found.1.sequence == sequence).then_some(found)
    }

    /// An answer has come, or a part of one.
    pub(super) fn answered(
        &mut self,
        sequence: u64,
        credit: u64,
        answer: ReadAnswer,
        max_reply_bytes: usize,
        left: &mut Leftovers,
    ) -> Result<(), LinkError> {
        self.reply_credit.spend(credit)?;
        if sequence >> PLACE_BITS > self.sequences {
            let kind = FrameKind::Reply;
            return Err(LinkError::Sequence { kind, sequence });
        }
        let is_terminal = match &answer {
            ReadAnswer::Reply(_) | ReadAnswer::Error(_) => true,
            ReadAnswer::Chunk { is_last, .. } => *is_last,
            ReadAnswer::Beginning { .. } => false,
        };
        let call = self.call(sequence).map(|(_, call)| call);
        let Some(call) = call.filter(|call| matches!(call.stage, CallStage::Sent)) else {
            // Nobody waits for it any more. Only the first terminal frame counts.
            self.returned += credit;
            if is_terminal && self.cancelled.remove(&sequence) {
                self.unanswered.end();
            }
            return Ok(());
        };
        call.reply_credit += credit;
        let outcome = match answer {
            ReadAnswer::Reply(payload) => Some(LinkOutcome::Replied(payload)),
            ReadAnswer::Error(error) => Some(LinkOutcome::Failed(error)),
            ReadAnswer::Beginning { wire_name, total } => {
                if total > max_reply_bytes || call.partial.is_some() {
                    return Err(LinkError::Content(FrameKind::Reply));
                }
                call.partial = Some(PartialReply {
                    wire_name,
                    bytes: BytesMut::with_capacity(MAX_BODY_BYTES.min(total)),
                    total,
                });
                None
            }
            ReadAnswer::Chunk { bytes, is_last } => call.chunk(&bytes, is_last)?,
        };
        let Some(outcome) = outcome else {
            return Ok(());
        };
        left.wakers.extend(call.waker.take());
        left.messages.extend(call.large.take());
        call.stage = CallStage::Done(outcome);
        call.partial = None;
        let held = std::mem::take(&mut call.holds).then(|| call.receiver.clone());
        self.unanswered.end();
        if let Some(receiver) = held {
            let rest = self.outbox.remove_large(sequence);
            left.messages.extend(rest.map(|rest| rest.bytes));
            self.order.release(&receiver);
        }
        Ok(())
    }

    /// Takes a call that is done. Its credit is to be returned.
    pub(super) fn take_done(&mut self, key: SlabKey) -> Option<PendingCall> {
        let call = self.calls.remove(key);
        self.returned += call.as_ref().map_or(0, |call| call.reply_credit);
        call
    }

    /// Gives up a call that waits. Drop the returned value without the lock.
    pub(super) fn forget_waiting(&mut self, key: SlabKey) -> Option<PendingCall> {
        let call = self.calls.remove(key)?;
        self.order.remove(key, &call.receiver);
        self.waiting = self.waiting.saturating_sub(1);
        Some(call)
    }

    /// Cancels a call that was sent. Returns whether it may have been executed, and what is left
    /// of it, to be dropped without the lock.
    pub(super) fn cancel(&mut self, key: SlabKey) -> (Executed, Option<PendingCall>) {
        let Some(mut call) = self.calls.remove(key) else {
            return (Executed::Maybe, None);
        };
        self.returned += call.reply_credit;
        (self.give_up(&mut call), Some(call))
    }

    /// Nobody waits any more for the answer of a call that was sent. Returns whether it may have
    /// been executed.
    pub(super) fn give_up(&mut self, call: &mut PendingCall) -> Executed {
        // Behind its request, which may not be written yet.
        let frame = CancelFrame {
            sequence: call.sequence,
        };
        let _ = frame.encode(self.outbox.data());
        self.cancelled.insert(call.sequence);
        if call.holds {
            self.order.release(&call.receiver);
        }
        match self.take_rest(call) {
            true => Executed::No,
            false => Executed::Maybe,
        }
    }

    /// Takes back what was not sent of a large message. Returns whether there was something: then
    /// it cannot be executed.
    fn take_rest(&mut self, call: &mut PendingCall) -> bool {
        if call.large.is_none() && call.holds {
            let rest = self.outbox.remove_large(call.sequence);
            call.large = rest.map(|rest| rest.bytes);
        }
        call.large.is_some()
    }

    /// Ends all calls, or those with a number above `last_sequence` and those that wait. The ones
    /// that were certainly not executed move to the next link, if there is one, in their order.
    /// Wake the returned calls, and drop them, without the lock.
    pub(super) fn end_calls(
        &mut self,
        ending: &LinkEnding,
        last_sequence: Option<u64>,
        mut next: Option<&mut Self>,
    ) -> Vec<PendingCall> {
        let calls = self.calls.iter_mut();
        let mut sent: Vec<_> = calls
            .filter(|(_, call)| matches!(call.stage, CallStage::Sent))
            .filter(|(_, call)| last_sequence.is_none_or(|last| call.sequence > last))
            .map(|(key, call)| (call.sequence, key))
            .collect();
        sent.sort_unstable_by_key(|(sequence, _)| *sequence);
        if let Some(last) = last_sequence {
            // These get no answer either.
            let Self {
                cancelled,
                unanswered,
                ..
            } = self;
            cancelled.retain(|sequence| {
                *sequence <= last || {
                    unanswered.end();
                    false
                }
            });
        }
        let waiting = self.order.take_all();
        let keys = sent.into_iter().map(|(_, key)| key).chain(waiting);
        let mut left = Vec::new();
        for key in keys {
            let Some(call) = self.calls.get_mut(key) else {
                continue;
            };
            let is_waiting = matches!(call.stage, CallStage::Waiting);
            let mut old = call.end(LinkOutcome::Failed(RequestError::no_reply("unknown")));
            let is_unsent = is_waiting
                || last_sequence.is_some()
                || old.batch >= self.outbox.next_batch()
                || self.take_rest(&mut old);
            match is_waiting {
                true => self.waiting = self.waiting.saturating_sub(1),
                false => self.unanswered.end(),
            }
            let outcome = match &mut next {
                Some(next) if is_unsent && !old.has_moved => {
                    let receiver = old.receiver.clone();
                    let call = PendingCall::new(receiver, old.is_from_handler, old.deadline);
                    LinkOutcome::Moved(next.adopt(call))
                }
                _ => LinkOutcome::Gone {
                    executed: if is_unsent {
                        Executed::No
                    } else {
                        Executed::Maybe
                    },
                    ending: ending.clone(),
                },
            };
            if let Some(call) = self.calls.get_mut(key) {
                call.stage = CallStage::Done(outcome);
            }
            left.push(old);
        }
        left
    }

    /// The caller whose turn it is, if it was not called yet.
    pub(super) fn first_waker(&mut self) -> Option<Waker> {
        let (first, is_from_handler) = self.order.first()?;
        let may_send = matches!(self.phase, LinkPhase::Open)
            && self.unanswered.allows(is_from_handler)
            && self.credit.allows(0, is_from_handler);
        if !may_send {
            return None;
        }
        self.call_caller(first)
    }

    /// The waker of a caller that is to come.
    fn call_caller(&mut self, key: SlabKey) -> Option<Waker> {
        let pending = self.calls.get_mut(key)?;
        if pending.turn != CallTurn::Waits {
            return None;
        }
        pending.turn = CallTurn::Called;
        pending.waker.clone()
    }

    /// Lets others pass where the callers whose turn it is were called before the last look, and
    /// have not come. Returns whom to wake.
    pub(super) fn pass_absent(&mut self) -> Vec<Waker> {
        let mut has_passed = false;
        while let Some((first, _)) = self.order.first()
            && self.turn(first) == Some(CallTurn::Overdue)
        {
            self.order.park_first();
            has_passed = true;
        }
        let in_line = self.order.in_line().take(CALLED_AT_ONCE);
        let in_line: Vec<_> = in_line.map(|(key, _)| key).collect();
        for key in &in_line {
            if let Some(pending) = self.calls.get_mut(*key)
                && pending.turn == CallTurn::Called
            {
                pending.turn = CallTurn::Overdue;
            }
        }
        let called = in_line.into_iter().filter(|_| has_passed);
        called.filter_map(|key| self.call_caller(key)).collect()
    }

    fn turn(&self, key: SlabKey) -> Option<CallTurn> {
        self.calls.get(key).map(|pending| pending.turn)
    }

    /// Returns credit for replies, if it is worth a frame. Returns whether it is.
    pub(super) fn return_credit(&mut self, all: u64) -> bool {
        let is_open = matches!(self.phase, LinkPhase::Open | LinkPhase::Closing(_));
        if self.returned < all / 4 || !is_open {
            return false;
        }
        let bytes = std::mem::take(&mut self.returned);
        // Never more than was spent.
        let _ = self.reply_credit.add(bytes);
        let frame = CreditFrame::Link { requests: 0, bytes };
        let _ = frame.encode(self.outbox.urgent());
        true
    }
}

fn too_many_waiting() -> RequestError {
    RequestError::refused(
        RequestErrorKind::Busy,
        "as many requests wait for the peer as a client allows",
    )
}
