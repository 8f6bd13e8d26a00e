//! The state of a link to a peer: which calls are sent, wait, or are done. It neither waits nor
//! wakes: [`CalledLink`](super::called_link) locks it and does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;
use std::time::Duration;

use bytes::BytesMut;

use super::call_order::CallOrder;
use super::pending_call::{
    CallStage, LinkEnding, LinkOutcome, PartialReply, PendingCall, ReadAnswer,
};
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::Body;
use crate::name::Name;
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
/// The bytes of a request's frame beside names, headers and message: fixed fields, and the heads of
/// its optional fields.
const REQUEST_OVERHEAD_BYTES: usize = 64;
/// The bytes that a header takes beside its name and value.
const HEADER_OVERHEAD_BYTES: usize = 5;

/// The state of a link to a peer.
pub(super) struct CallingState {
    pub(super) phase: LinkPhase,
    pub(super) calls: Slab<PendingCall>,
    pub(super) waiting: usize,
    pub(super) order: CallOrder<SlabKey>,
    pub(super) unanswered: Unanswered,
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
}

/// The phase of a link.
#[derive(Debug)]
pub(super) enum LinkPhase {
    /// Calls wait until it is open.
    Connecting,
    Open,
    /// No further calls are sent.
    Closing,
    Ended(LinkEnding),
}

/// Why a call is not sent now.
pub(super) enum NotNow {
    /// It waits.
    Waits,
    Fails(LinkOutcome),
}

/// Wakers to wake without the lock.
pub(super) type Wakers = Vec<Waker>;

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
            credit: RequestCreditLine::new(0, 0),
            max_message_bytes: usize::MAX,
            names: Interner::new(none.names, MAX_RECEIVER_BYTES),
            types: Interner::new(none.types, MAX_TYPE_BYTES),
            outbox: Outbox::new(),
            reply_credit: ReplyCreditLine::new(own.credit_bytes),
            returned: 0,
            sequences: 0,
            uses: 0,
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
    pub(super) fn arrive(&mut self) -> Result<SlabKey, LinkOutcome> {
        self.uses += 1;
        match &self.phase {
            LinkPhase::Connecting | LinkPhase::Open => {}
            LinkPhase::Closing => {
                return Err(LinkOutcome::Gone {
                    executed: Executed::No,
                    ending: LinkEnding::Lost("it is being closed".to_owned()),
                });
            }
            LinkPhase::Ended(ending) => {
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
        Ok(self.calls.insert(PendingCall::new()))
    }

    /// Sends a call if its turn has come.
    pub(super) fn send(&mut self, key: SlabKey, call: &Call) -> Result<(), NotNow> {
        let fails = |error| Err(NotNow::Fails(LinkOutcome::Failed(error)));
        let Some(pending) = self.calls.get(key) else {
            return fails(RequestError::no_reply("the call is gone"));
        };
        let is_in_line = pending.is_in_line;
        let has_turn = match is_in_line {
            true => self.order.first() == Some(key),
            false => self.order.is_free(&call.receiver),
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
        let is_from_handler = call.from_handler;
        let may_send = has_turn
            && matches!(self.phase, LinkPhase::Open)
            && self.unanswered.allows(is_from_handler)
            && self
                .credit
                .allows(credit_of(call, body, length), is_from_handler);
        if !may_send {
            if !is_in_line {
                self.order.wait(key, &call.receiver);
                if let Some(pending) = self.calls.get_mut(key) {
                    pending.is_in_line = true;
                }
            }
            return Err(NotNow::Waits);
        }
        let time_left = call.meta.deadline.remaining();
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
        // Code of the message, which may panic. A large one is encoded already.
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            if !is_large {
                body.encode_into(data);
            }
        }));
        let is_encoded = match encoded {
            Ok(()) => open.finish(data).is_ok(),
            Err(_) => {
                open.discard(data);
                false
            }
        };
        if !is_encoded {
            names.forget(receiver);
            types.forget(message_type);
            let text = "the message cannot be encoded";
            return Err(RequestError::refused(
                RequestErrorKind::InvalidMessage,
                text,
            ));
        }
        *sequences += 1;
        let used = data.len() - start - HEADER_BYTES;
        // Never more than was checked.
        let _ = credit.spend(used as u64, call.from_handler);
        let batch = outbox.next_batch();
        if let Some(pending) = calls.get_mut(key) {
            pending.sequence = sequence;
            pending.stage = CallStage::Sent;
            pending.batch = batch;
            if is_large {
                pending.holds = Some(call.receiver.clone());
                pending.large = Some(body.encode());
            }
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
        wakers: &mut Wakers,
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
        let Some((_, call)) = self.call(sequence) else {
            // Nobody waits for it any more.
            self.returned += credit;
            if is_terminal {
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
        wakers.extend(call.waker.take());
        call.stage = CallStage::Done(outcome);
        call.partial = None;
        call.large = None;
        let holds = call.holds.take();
        self.unanswered.end();
        if let Some(receiver) = holds {
            self.outbox.remove_large(sequence);
            self.order.release(&receiver);
        }
        Ok(())
    }

    /// Takes a call that is done. Its credit is to be returned.
    pub(super) fn take_done(&mut self, key: SlabKey) -> LinkOutcome {
        let call = self.calls.remove(key);
        self.returned += call.as_ref().map_or(0, |call| call.reply_credit);
        match call.map(|call| call.stage) {
            Some(CallStage::Done(outcome)) => outcome,
            _ => LinkOutcome::Failed(RequestError::no_reply("the call is gone")),
        }
    }

    /// A call that waits is given up.
    pub(super) fn forget_waiting(&mut self, key: SlabKey, receiver: &Name) {
        self.order.remove(key, receiver);
        if self.calls.remove(key).is_some() {
            self.waiting = self.waiting.saturating_sub(1);
        }
    }

    /// Cancels a call that was sent. Returns whether it may have been executed.
    pub(super) fn cancel(&mut self, key: SlabKey) -> Executed {
        let Some(call) = self.calls.remove(key) else {
            return Executed::Maybe;
        };
        self.returned += call.reply_credit;
        // Behind its request, which may not be written yet.
        let frame = CancelFrame {
            sequence: call.sequence,
        };
        let _ = frame.encode(self.outbox.data());
        let rest = self.outbox.remove_large(call.sequence);
        if let Some(receiver) = &call.holds {
            self.order.release(receiver);
        }
        if call.large.is_some() || rest.is_some() {
            Executed::No
        } else {
            Executed::Maybe
        }
    }

    /// Ends calls, as far as `executed` returns whether they may have been executed.
    pub(super) fn end_calls(
        &mut self,
        ending: &LinkEnding,
        executed: impl Fn(&PendingCall, u64) -> Option<Executed>,
    ) -> Wakers {
        let next_batch = self.outbox.next_batch();
        let mut wakers = Vec::new();
        for (_, call) in self.calls.iter_mut() {
            if matches!(call.stage, CallStage::Done(_)) {
                continue;
            }
            let Some(executed) = executed(call, next_batch) else {
                continue;
            };
            match call.stage {
                CallStage::Waiting => self.waiting = self.waiting.saturating_sub(1),
                _ => self.unanswered.end(),
            }
            call.stage = CallStage::Done(LinkOutcome::Gone {
                executed,
                ending: ending.clone(),
            });
            wakers.extend(call.waker.take());
        }
        // None waits any more.
        self.order.clear();
        wakers
    }

    /// The caller whose turn it is.
    pub(super) fn first_waker(&mut self) -> Option<Waker> {
        let first = self.order.first()?;
        let may_send = matches!(self.phase, LinkPhase::Open)
            && self.unanswered.allows(true)
            && self.credit.allows(0, true);
        if !may_send {
            return None;
        }
        self.calls.get(first)?.waker.clone()
    }

    /// Returns credit for replies, if it is worth a frame. Returns whether it is.
    pub(super) fn return_credit(&mut self, all: u64) -> bool {
        if self.returned < all / 4 || !matches!(self.phase, LinkPhase::Open | LinkPhase::Closing) {
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

/// The most credit that a request can need.
fn credit_of(call: &Call, body: &Body, length: usize) -> u64 {
    let headers = call.meta.headers.iter();
    let headers = headers.map(|(name, value)| HEADER_OVERHEAD_BYTES + name.len() + value.len());
    let message = if length > MAX_BODY_BYTES { 0 } else { length };
    let bytes = REQUEST_OVERHEAD_BYTES
        + call.receiver.as_str().len()
        + body.wire_name().len()
        + headers.sum::<usize>()
        + message;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The milliseconds of a time, rounded up.
fn millis_up(time: Duration) -> u32 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    u32::try_from(millis).unwrap_or(u32::MAX)
}

fn too_many_waiting() -> RequestError {
    RequestError::refused(
        RequestErrorKind::Busy,
        "as many requests wait for the peer as a client allows",
    )
}
