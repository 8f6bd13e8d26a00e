//! The state of a link to a peer: which calls are sent, wait, or are done. It neither waits nor
//! wakes: [`CalledLink`](super::called_link) locks it and does.

use std::collections::HashSet;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::call_order::CallOrder;
use super::pending_call::{CallStage, CallTurn, LinkEnding, LinkOutcome, PendingCall};
use super::short_reply::ShortReplies;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::route::call::LinkRequest;
use crate::route::headers::Headers;
use crate::route::link::credit::{ReplyCreditLine, RequestCreditLine, Unanswered};
use crate::route::link::outbox::Outbox;
use crate::route::link::{
    CancelFrame, CreditFrame, HelloLimits, Interner, MAX_BODY_BYTES, MAX_RECEIVER_BYTES,
    MAX_TYPE_BYTES,
};
use crate::route::slab::{Slab, SlabKey};

/// The calls that may wait for credit on a link. Each has its caller, who gives up at its deadline.
const MAX_WAITING: usize = 8 * 1024;
/// The calls that are sent and unanswered, however many the peer allows.
const MAX_UNANSWERED: u32 = 16 * 1024;
/// The low bits of a sequence number are the place of its call, so that an answer finds it.
pub(super) const PLACE_BITS: u32 = 16;
/// The calls that have not returned: each needs a place with a number of its own. The callers of
/// some have their answers and have not looked yet.
const MAX_CALLS: usize = (1 << PLACE_BITS) - 1;
/// The bytes of a request's frame beside names, headers and message: fixed fields, and the heads of
/// its optional fields.
const REQUEST_OVERHEAD_BYTES: usize = 64;
/// The bytes that a header takes beside its name and value.
const HEADER_OVERHEAD_BYTES: usize = 5;

/// The callers that are called at once behind one that was called and has not come: the others of
/// its task, most likely.
const CALLED_AT_ONCE: usize = 64;

/// The state of a link to a peer.
pub(super) struct CallingState {
    pub(super) phase: LinkPhase,
    pub(super) calls: Slab<PendingCall>,
    pub(super) short_replies: ShortReplies,
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
            short_replies: ShortReplies::default(),
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
    #[inline]
    pub(super) fn arrive(
        &mut self,
        request: &LinkRequest<'_>,
        expected: &'static str,
        waker: &mut Option<Waker>,
    ) -> Result<SlabKey, LinkOutcome> {
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
        self.note_deadline(request.deadline);
        let receiver = request.receiver.clone();
        Ok(self.calls.insert(PendingCall {
            expected,
            waker: waker.take(),
            ..PendingCall::new(receiver, request.from_handler, request.deadline)
        }))
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
    #[inline]
    pub(super) fn send(
        &mut self,
        key: SlabKey,
        request: &LinkRequest<'_>,
        length: usize,
        time_left: Option<Duration>,
    ) -> Result<(), NotNow> {
        let fails = |error| Err(NotNow::Fails(LinkOutcome::Failed(error)));
        let Some(pending) = self.calls.get(key) else {
            return fails(RequestError::no_reply("the call is gone"));
        };
        let is_in_line = pending.is_in_line;
        let is_from_handler = request.from_handler;
        let has_turn = match is_in_line {
            true => self.order.first().is_some_and(|(first, _)| first == key),
            false => self.order.is_free(request.receiver, is_from_handler),
        };
        if length > self.max_message_bytes {
            let limit = self.max_message_bytes;
            return fails(RequestError::message_too_large(length, limit));
        }
        let may_send = has_turn
            && matches!(self.phase, LinkPhase::Open)
            && self.unanswered.allows(is_from_handler)
            && self
                .credit
                .allows(credit_of(request, length), is_from_handler);
        if !may_send {
            if !is_in_line {
                self.order.wait(key, request.receiver, is_from_handler);
                if let Some(pending) = self.calls.get_mut(key) {
                    pending.is_in_line = true;
                }
            }
            return Err(NotNow::Waits);
        }
        let time_left = time_left.unwrap_or_else(|| request.deadline.remaining());
        if time_left.is_zero() {
            return fails(RequestError::deadline(Executed::No));
        }
        self.encode(key, request, length, time_left)
            .map_err(|error| NotNow::Fails(LinkOutcome::Failed(error)))?;
        if is_in_line {
            self.order.advance();
        }
        self.waiting -= 1;
        self.unanswered.begin();
        if length > MAX_BODY_BYTES {
            self.order.hold(request.receiver);
        }
        Ok(())
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
            call.large = rest.map(|rest| Box::new(rest.bytes));
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
    #[inline]
    pub(super) fn first_waker(&mut self) -> Option<Waker> {
        match self.order.is_empty() {
            true => None,
            false => self.call_first(),
        }
    }

    fn call_first(&mut self) -> Option<Waker> {
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
    #[inline]
    pub(super) fn return_credit(&mut self, all: u64) -> bool {
        self.returned >= all / 4 && self.send_returned()
    }

    fn send_returned(&mut self) -> bool {
        let is_open = matches!(self.phase, LinkPhase::Open | LinkPhase::Closing(_));
        if !is_open {
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
fn credit_of(request: &LinkRequest<'_>, length: usize) -> u64 {
    let headers = request.headers.into_iter().flat_map(Headers::iter);
    let headers = headers.map(|(name, value)| HEADER_OVERHEAD_BYTES + name.len() + value.len());
    let message = if length > MAX_BODY_BYTES { 0 } else { length };
    let bytes = REQUEST_OVERHEAD_BYTES
        + request.receiver.as_str().len()
        + request.wire_name.len()
        + headers.sum::<usize>()
        + message;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn too_many_waiting() -> RequestError {
    RequestError::refused(
        RequestErrorKind::Busy,
        "as many requests wait for the peer as a client allows",
    )
}
