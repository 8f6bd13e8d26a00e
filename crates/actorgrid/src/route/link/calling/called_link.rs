//! A link to a peer, as its task and all calls on it share it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::calling_state::{CallingState, Leftovers, LinkPhase, NotNow};
use super::pending_call::{CallStage, LinkEnding, LinkOutcome, PendingCall, ReadAnswer};
use super::reply_type::ReplyType;
use super::short_reply::{ShortReplies, ShortReply};
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::route::call::{Call, LinkRequest};
use crate::route::link::link_io::HasOutbox;
use crate::route::link::outbox::{LargeMessage, Outbox};
use crate::route::link::{
    GoAwayFrame, GoAwayReason, HEADER_BYTES, HelloLimits, InternedTexts, LinkError, MAX_BODY_BYTES,
    PingFrame, PlainReply, PongFrame,
};
use crate::route::slab::{Slab, SlabKey};

/// While more bytes of answers to the peer's questions than this wait for it, nothing of it is
/// read: a peer that asks and does not read could have any number.
const MAX_URGENT_BYTES: usize = 1024 * 1024;

/// The short replies that are taken while the link is locked: others send meanwhile, and must not
/// wait for all that one read has brought.
const PLAIN_AT_ONCE: usize = 64;

/// A link to a peer.
pub(super) struct CalledLink {
    state: Mutex<CallingState>,
    own: HelloLimits,
    /// The largest message of this side, in both directions.
    max_message_bytes: usize,
    /// Whether a task was asked to open it.
    is_begun: AtomicBool,
    /// The link to which calls have moved that this one did not take. Not begun by itself.
    next: OnceLock<Arc<CalledLink>>,
}

impl CalledLink {
    /// A link that is about to be opened, by a client with these limits.
    pub(super) fn new(own: HelloLimits) -> Self {
        Self {
            state: Mutex::new(CallingState::new(own)),
            max_message_bytes: usize::try_from(own.max_message_bytes).unwrap_or(usize::MAX),
            own,
            is_begun: AtomicBool::new(false),
            next: OnceLock::new(),
        }
    }

    /// Returns whether a task is to open the link: it was not begun before.
    pub(super) fn begin(&self) -> bool {
        !self.is_begun.swap(true, Ordering::Relaxed)
    }

    /// The link that takes the place of this one, if calls have moved to it.
    pub(super) fn next(&self) -> Option<&Arc<Self>> {
        self.next.get()
    }

    /// The link is open, to a peer with these limits.
    pub(super) fn open(&self, peer: HelloLimits) {
        let mut state = self.lock();
        state.open(peer);
        let first = state.first_waker();
        drop(state);
        wake(first);
    }

    /// Whether calls can still go over it.
    pub(super) fn is_usable(&self) -> bool {
        matches!(self.lock().phase, LinkPhase::Connecting | LinkPhase::Open)
    }

    /// Whether it was opened, and calls can go over it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.lock().phase, LinkPhase::Open)
    }

    /// How it has ended, or will have.
    pub(super) fn ending(&self) -> Option<LinkEnding> {
        match &self.lock().phase {
            LinkPhase::Connecting | LinkPhase::Open => None,
            LinkPhase::Closing(ending) | LinkPhase::Ended(ending) => Some(ending.clone()),
        }
    }

    pub(super) fn uses(&self) -> u64 {
        self.lock().uses
    }

    /// Whether answers are owed.
    pub(super) fn has_unanswered(&self) -> bool {
        self.lock().unanswered.count() > 0
    }

    /// Whether a call has not returned.
    pub(super) fn has_calls(&self) -> bool {
        let state = self.lock();
        !state.calls.is_empty() || state.unanswered.count() > 0
    }

    /// Whether so many answers to the peer's questions wait that nothing more should be read.
    pub(super) fn is_backed_up(&self) -> bool {
        self.lock().outbox.urgent_bytes() > MAX_URGENT_BYTES
    }

    /// Takes no further calls, if there is none and there were none since so many.
    pub(super) fn close_unused(&self, uses: u64) -> bool {
        let mut state = self.lock();
        let is_unused =
            state.uses == uses && state.calls.is_empty() && state.unanswered.count() == 0;
        if is_unused && matches!(state.phase, LinkPhase::Open) {
            state.phase = LinkPhase::Closing(LinkEnding::Lost("it is not used".to_owned()));
        }
        is_unused
    }

    /// Takes a look: calls whose callers do not come let others pass.
    pub(super) fn pass_absent(&self) {
        let wakers = self.lock().pass_absent();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Nothing happens on the link: room for many replies is released if no call uses it.
    pub(super) fn release_room(&self) {
        let mut state = self.lock();
        if state.calls.is_empty() {
            // With its free places, of which the last used one would be the first again.
            (state.calls, state.short_replies) = (Slab::new(), ShortReplies::default());
        }
        state.outbox.release_room();
    }

    pub(super) fn ping(&self) {
        let mut state = self.lock();
        let _ = PingFrame([0; 8]).encode(state.outbox.urgent());
    }

    pub(super) fn pong(&self, bytes: [u8; 8]) {
        let mut state = self.lock();
        let _ = PongFrame(bytes).encode(state.outbox.urgent());
    }

    /// Sends no further requests.
    pub(super) fn go_away(&self, reason: GoAwayReason, text: &str) {
        let mut state = self.lock();
        if matches!(state.phase, LinkPhase::Open) {
            state.phase = LinkPhase::Closing(LinkEnding::of(reason, text.to_owned()));
        }
        let frame = GoAwayFrame {
            last_sequence: 0,
            reason,
            text,
        };
        let _ = frame.encode(state.outbox.urgent());
    }

    /// The peer takes no further requests: those above this number were not read.
    pub(super) fn gone_away(&self, last_sequence: u64, reason: GoAwayReason) {
        let ending = LinkEnding::of(reason, reason.to_string());
        let mut state = self.lock();
        let left = match state.phase {
            LinkPhase::Open => {
                let left = self.end_calls(&mut state, &ending, Some(last_sequence));
                state.phase = LinkPhase::Closing(ending);
                left
            }
            _ => state.end_calls(&ending, Some(last_sequence), None),
        };
        drop(state);
        wake_callers(left);
    }

    /// The link has ended, and all calls on it.
    pub(super) fn end(&self, ending: LinkEnding) {
        let mut state = self.lock();
        let (ending, left) = match &state.phase {
            LinkPhase::Ended(_) => return,
            // For which it was closed.
            LinkPhase::Closing(first) => {
                let first = first.clone();
                let left = state.end_calls(&first, None, None);
                (first, left)
            }
            LinkPhase::Connecting | LinkPhase::Open => {
                let left = self.end_calls(&mut state, &ending, None);
                (ending, left)
            }
        };
        state.phase = LinkPhase::Ended(ending);
        let outbox = std::mem::replace(&mut state.outbox, Outbox::new());
        drop(state);
        drop(outbox);
        wake_callers(left);
    }

    /// Ends calls, all or those above a number. Those that the link has not taken move to the next
    /// one, if there can be one.
    fn end_calls(
        &self,
        state: &mut CallingState,
        ending: &LinkEnding,
        last_sequence: Option<u64>,
    ) -> Vec<PendingCall> {
        if !matches!(ending, LinkEnding::Lost(_)) || state.calls.is_empty() {
            return state.end_calls(ending, last_sequence, None);
        }
        let next = Self::new(self.own);
        let left = state.end_calls(ending, last_sequence, Some(&mut *next.lock()));
        // With the lock still held: a call that comes to this link now finds the next one.
        if next.has_calls() {
            let _ = self.next.set(Arc::new(next));
        }
        left
    }

    /// Credit has come.
    pub(super) fn add_credit(&self, requests: u32, bytes: u64) -> Result<(), LinkError> {
        let mut state = self.lock();
        state.credit.add(requests, bytes)?;
        let first = state.first_waker();
        drop(state);
        wake(first);
        Ok(())
    }

    /// A large message may be sent.
    pub(super) fn ticket(&self, sequence: u64) {
        let mut state = self.lock();
        // Otherwise nobody waits for it any more.
        if let Some((_, call)) = state.call(sequence)
            && let Some(bytes) = call.large.take()
        {
            let message = LargeMessage {
                sequence,
                bytes: *bytes,
                charge: None,
            };
            state.outbox.push_large(message);
        }
    }

    /// Ends the calls whose deadlines have passed, and notes when the link's task looks again: at
    /// the deadline that passes next, but not before `soonest`, and at the latest at `latest`.
    pub(super) fn sweep(&self, now: Deadline, soonest: Deadline, latest: Deadline) -> Deadline {
        let mut state = self.lock();
        let (next, left) = state.expire(now);
        let next = next.map_or(latest, |next| next.clamp(soonest, latest));
        state.sweep_at = Some(next);
        let first = state.first_waker();
        drop(state);
        wake_callers(left);
        wake(first);
        next
    }

    /// Receivers whose large messages are with the socket take other calls.
    pub(super) fn release_sent(&self) {
        let mut state = self.lock();
        for sequence in state.outbox.take_finished() {
            if let Some((_, call)) = state.call(sequence)
                && std::mem::take(&mut call.holds)
            {
                let receiver = call.receiver.clone();
                state.order.release(&receiver);
            }
        }
        let first = state.first_waker();
        drop(state);
        wake(first);
    }

    /// Takes the short replies at the beginning of the buffer, so that the link is locked once for
    /// them. Returns their bytes: none if there is something else at its beginning. `left` is empty
    /// before and after, and keeps its room.
    ///
    /// # Errors
    ///
    /// The peer has violated the protocol.
    pub(super) fn take_plain(
        &self,
        buffer: &[u8],
        types: &mut InternedTexts<ReplyType>,
        left: &mut Leftovers,
    ) -> Result<usize, LinkError> {
        let mut taken = 0;
        let Some(mut reply) = PlainReply::read(buffer) else {
            return Ok(taken);
        };
        let mut state = self.lock();
        let mut failed = Ok(());
        for _ in 0..PLAIN_AT_ONCE {
            failed = state.answered_shortly(&reply, types, left);
            if failed.is_err() {
                break;
            }
            taken += HEADER_BYTES + reply.length;
            match buffer.get(taken..).and_then(PlainReply::read) {
                Some(next) => reply = next,
                None => break,
            }
        }
        self.unlock_answered(state, left);
        failed.map(|()| taken)
    }

    /// Answers have come, or parts of some.
    ///
    /// # Errors
    ///
    /// The peer has violated the protocol.
    pub(super) fn complete(
        &self,
        answers: impl Iterator<Item = (u64, u64, ReadAnswer)>,
        left: &mut Leftovers,
    ) -> Result<(), LinkError> {
        let mut state = self.lock();
        let mut failed = Ok(());
        for answer in answers {
            failed = state.answered(answer, self.max_message_bytes, left);
            if failed.is_err() {
                break;
            }
        }
        self.unlock_answered(state, left);
        failed
    }

    /// Unlocks, and then wakes and drops.
    fn unlock_answered(&self, mut state: MutexGuard<'_, CallingState>, left: &mut Leftovers) {
        state.return_credit(self.own.credit_bytes);
        left.wakers.extend(state.first_waker());
        drop(state);
        for waker in left.wakers.drain(..) {
            waker.wake();
        }
        left.messages.clear();
    }

    /// Polls a call: sends it when its turn has come, and returns its outcome when that is there.
    pub(super) fn poll_call(
        &self,
        key: &mut Option<SlabKey>,
        call: &Call,
        reply: &mut ShortReply,
        cx: &Context<'_>,
    ) -> Poll<LinkOutcome> {
        let Some(request) = call.link_request() else {
            return Poll::Ready(LinkOutcome::Failed(RequestError::refused(
                RequestErrorKind::InvalidHeaders,
                "a request over a link has a message and a token",
            )));
        };
        if key.is_some() {
            return self.poll_begun(key, || request, reply, cx);
        }
        let length = request.body.encoded_len();
        let waker = Some(cx.waker().clone());
        match self.begin_call(waker, self.lock(), &request, length, None, "") {
            Ok(own) => {
                *key = Some(own);
                Poll::Pending
            }
            Err(outcome) => Poll::Ready(outcome),
        }
    }

    /// Begins a call that has this much time left, and whose caller leaves its deadline to the
    /// link. It is not sent if the link is not open, or if its message is to be sent in chunks.
    #[inline]
    pub(super) fn begin_open(
        &self,
        request: &LinkRequest<'_>,
        time_left: Duration,
        expected: &'static str,
        cx: &Context<'_>,
    ) -> Result<SlabKey, LinkOutcome> {
        let length = request.body.encoded_len();
        if length > MAX_BODY_BYTES.min(self.max_message_bytes) {
            return Err(LinkOutcome::TooLarge);
        }
        // Before the lock is taken, so it is dropped after.
        let waker = Some(cx.waker().clone());
        let state = self.lock();
        if !matches!(state.phase, LinkPhase::Open) {
            return Err(LinkOutcome::Gone {
                executed: Executed::No,
                ending: LinkEnding::Lost("it is not open".to_owned()),
            });
        }
        self.begin_call(waker, state, request, length, Some(time_left), expected)
    }

    /// The waker comes first: if it is not taken, it is dropped after the lock.
    #[inline]
    fn begin_call(
        &self,
        mut waker: Option<Waker>,
        mut state: MutexGuard<'_, CallingState>,
        request: &LinkRequest<'_>,
        length: usize,
        time_left: Option<Duration>,
        expected: &'static str,
    ) -> Result<SlabKey, LinkOutcome> {
        let key = state.arrive(request, expected, &mut waker)?;
        self.send(state, key, request, length, time_left)?;
        Ok(key)
    }

    /// Polls a call that has begun. Writes a short reply there.
    #[inline]
    pub(super) fn poll_begun<'r>(
        &self,
        key: &mut Option<SlabKey>,
        request: impl FnOnce() -> LinkRequest<'r>,
        reply: &mut ShortReply,
        cx: &Context<'_>,
    ) -> Poll<LinkOutcome> {
        let Some(own) = *key else {
            return Poll::Pending;
        };
        let mut state = self.lock();
        let Some(pending) = state.calls.get_mut(own) else {
            *key = None;
            return Poll::Ready(LinkOutcome::Failed(RequestError::no_reply(
                "the call is gone",
            )));
        };
        if matches!(pending.stage, CallStage::Done(_)) {
            *key = None;
            let outcome = state.take_done(own);
            if matches!(outcome, LinkOutcome::Short(_)) {
                reply.set(state.short_replies.get(own.index));
            }
            let task = self.unlock_returned(state);
            wake(task);
            return Poll::Ready(outcome);
        }
        let known = pending.waker.as_ref();
        let is_known = known.is_some_and(|known| known.will_wake(cx.waker()));
        let stale = match is_known {
            true => None,
            false => pending.waker.replace(cx.waker().clone()),
        };
        let is_sent = matches!(pending.stage, CallStage::Sent);
        drop(state);
        drop(stale);
        if is_sent {
            return Poll::Pending;
        }
        // Code of the message, which must not run with the lock.
        let request = request();
        let length = request.body.encoded_len();
        let mut state = self.lock();
        let pending = state.calls.get_mut(own);
        if pending.is_none_or(|pending| !matches!(pending.stage, CallStage::Waiting)) {
            // It has ended meanwhile.
            drop(state);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        state.come(own);
        let sent = self.send(state, own, &request, length, None);
        match sent.inspect_err(|_| *key = None) {
            Ok(()) => Poll::Pending,
            Err(outcome) => Poll::Ready(outcome),
        }
    }

    /// Sends a call if its turn has come. An outcome ends it.
    fn send(
        &self,
        mut state: MutexGuard<'_, CallingState>,
        key: SlabKey,
        request: &LinkRequest<'_>,
        length: usize,
        time_left: Option<Duration>,
    ) -> Result<(), LinkOutcome> {
        // Not if others have just been answered: they are about to send, too.
        let is_alone = state.calls.len() == 1;
        match state.send(key, request, length, time_left) {
            Ok(()) => {
                let task = if state.is_sweep_due_before(request.deadline) {
                    state.outbox.call_attention()
                } else {
                    let in_flight = state.unanswered.count();
                    state.outbox.appended(in_flight, is_alone)
                };
                let next = state.first_waker();
                drop(state);
                wake(task);
                wake(next);
                Ok(())
            }
            Err(NotNow::Waits) => {
                let task = match state.is_sweep_due_before(request.deadline) {
                    true => state.outbox.call_attention(),
                    false => None,
                };
                drop(state);
                wake(task);
                Ok(())
            }
            Err(NotNow::Fails(outcome)) => {
                let left = state.forget_waiting(key);
                // A message may have broken the link.
                let task = state
                    .outbox
                    .is_broken()
                    .then(|| state.outbox.take_sleeper());
                let next = state.first_waker();
                drop(state);
                drop(left);
                wake(task.flatten());
                wake(next);
                Err(outcome)
            }
        }
    }

    /// Nobody waits for a call any more. Returns what it may have done.
    pub(super) fn abandon(&self, key: SlabKey) -> Executed {
        let mut state = self.lock();
        let Some(pending) = state.calls.get_mut(key) else {
            return Executed::Maybe;
        };
        match &pending.stage {
            CallStage::Waiting => {
                let left = state.forget_waiting(key);
                let next = state.first_waker();
                drop(state);
                drop(left);
                wake(next);
                Executed::No
            }
            CallStage::Done(_) => {
                let done = state.take_done(key);
                let task = self.unlock_returned(state);
                wake(task);
                match (done, self.next()) {
                    (LinkOutcome::Moved(key), Some(next)) => next.abandon(key),
                    (outcome, _) => outcome.executed(),
                }
            }
            CallStage::Sent => {
                let (executed, left) = state.cancel(key);
                let task = state.outbox.take_sleeper();
                let next = state.first_waker();
                self.unlock_returned(state);
                drop(left);
                wake(task);
                wake(next);
                executed
            }
        }
    }

    /// Returns credit, and unlocks. Returns the task to wake.
    #[inline]
    fn unlock_returned(&self, mut state: MutexGuard<'_, CallingState>) -> Option<Waker> {
        match state.return_credit(self.own.credit_bytes) {
            true => state.outbox.take_sleeper(),
            false => None,
        }
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, CallingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Wakes the callers of calls that have ended.
fn wake_callers(left: Vec<PendingCall>) {
    for mut call in left {
        wake(call.waker.take());
    }
}

impl HasOutbox for CalledLink {
    fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> R {
        act(&mut self.lock().outbox)
    }
}

#[cfg(test)]
mod tests;
