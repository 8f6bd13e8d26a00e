//! A link to a peer, as its task and all calls on it share it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::calling_state::{CallingState, LinkPhase, NotNow, Wakers};
use super::pending_call::{CallStage, LinkEnding, LinkOutcome, ReadAnswer};
use crate::error::{Executed, RequestError};
use crate::name::Name;
use crate::route::call::Call;
use crate::route::link::link_io::HasOutbox;
use crate::route::link::outbox::{LargeMessage, Outbox};
use crate::route::link::{GoAwayFrame, GoAwayReason, HelloLimits, LinkError, PingFrame, PongFrame};
use crate::route::slab::SlabKey;

/// A link to a peer.
pub(super) struct CalledLink {
    state: Mutex<CallingState>,
    max_reply_bytes: usize,
    /// Of replies.
    credit_bytes: u64,
}

impl CalledLink {
    /// A link that is about to be opened, by a client with these limits.
    pub(super) fn new(own: HelloLimits) -> Self {
        Self {
            state: Mutex::new(CallingState::new(own)),
            max_reply_bytes: usize::try_from(own.max_message_bytes).unwrap_or(usize::MAX),
            credit_bytes: own.credit_bytes,
        }
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
            state.phase = LinkPhase::Closing;
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
        let mut state = self.lock();
        if matches!(state.phase, LinkPhase::Open) {
            state.phase = LinkPhase::Closing;
        }
        let ending = LinkEnding::Lost(reason.to_string());
        let wakers = state.end_calls(&ending, |call, _| {
            (call.sequence == 0 || call.sequence > last_sequence).then_some(Executed::No)
        });
        drop(state);
        wake_all(wakers);
    }

    /// The link has ended, and all calls on it.
    pub(super) fn end(&self, ending: LinkEnding) {
        let mut state = self.lock();
        if matches!(state.phase, LinkPhase::Ended(_)) {
            return;
        }
        let wakers = state.end_calls(&ending, |call, next_batch| {
            let is_unsent = call.sequence == 0
                || call.batch >= next_batch
                || call.large.is_some()
                || call.holds.is_some();
            Some(if is_unsent {
                Executed::No
            } else {
                Executed::Maybe
            })
        });
        state.phase = LinkPhase::Ended(ending);
        let outbox = std::mem::replace(&mut state.outbox, Outbox::new());
        drop(state);
        drop(outbox);
        wake_all(wakers);
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
                bytes,
                charge: None,
            };
            state.outbox.push_large(message);
        }
    }

    /// Receivers whose large messages are with the socket take other calls.
    pub(super) fn release_sent(&self) {
        let mut state = self.lock();
        for sequence in state.outbox.take_finished() {
            let holds = state.call(sequence).and_then(|(_, call)| call.holds.take());
            if let Some(receiver) = holds {
                state.order.release(&receiver);
            }
        }
        let first = state.first_waker();
        drop(state);
        wake(first);
    }

    /// Answers have come.
    ///
    /// # Errors
    ///
    /// The peer has violated the protocol.
    pub(super) fn complete(
        &self,
        answers: impl Iterator<Item = (u64, u64, ReadAnswer)>,
    ) -> Result<(), LinkError> {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        let mut failed = Ok(());
        for (sequence, credit, answer) in answers {
            failed = state.answered(sequence, credit, answer, self.max_reply_bytes, &mut wakers);
            if failed.is_err() {
                break;
            }
        }
        state.return_credit(self.credit_bytes);
        wakers.extend(state.first_waker());
        drop(state);
        wake_all(wakers);
        failed
    }

    /// Polls a call: sends it when its turn has come, and returns its outcome when that is there.
    pub(super) fn poll_call(
        &self,
        key: &mut Option<SlabKey>,
        call: &mut Call,
        cx: &mut Context<'_>,
    ) -> Poll<LinkOutcome> {
        let mut state = self.lock();
        let own = match *key {
            Some(own) => own,
            None => match state.arrive() {
                Ok(own) => *key.insert(own),
                Err(outcome) => return Poll::Ready(outcome),
            },
        };
        let Some(pending) = state.calls.get_mut(own) else {
            *key = None;
            return Poll::Ready(LinkOutcome::Failed(RequestError::no_reply(
                "the call is gone",
            )));
        };
        if matches!(pending.stage, CallStage::Done(_)) {
            *key = None;
            let outcome = state.take_done(own);
            let task = self.unlock_returned(state);
            wake(task);
            return Poll::Ready(outcome);
        }
        if !pending
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            pending.waker = Some(cx.waker().clone());
        }
        if matches!(pending.stage, CallStage::Sent) {
            return Poll::Pending;
        }
        let is_alone = state.unanswered.count() == 0;
        match state.send(own, call) {
            Ok(()) => {
                call.executed = Executed::Maybe;
                let task = match is_alone {
                    true => state.outbox.write_now(),
                    false => state.outbox.take_sleeper(),
                };
                let next = state.first_waker();
                drop(state);
                wake(task);
                wake(next);
                Poll::Pending
            }
            Err(NotNow::Waits) => Poll::Pending,
            Err(NotNow::Fails(outcome)) => {
                *key = None;
                state.forget_waiting(own, &call.receiver);
                let next = state.first_waker();
                drop(state);
                wake(next);
                Poll::Ready(outcome)
            }
        }
    }

    /// Nobody waits for a call any more. Returns what it may have done.
    pub(super) fn abandon(&self, key: SlabKey, receiver: &Name) -> Executed {
        let mut state = self.lock();
        let Some(pending) = state.calls.get_mut(key) else {
            return Executed::Maybe;
        };
        match &pending.stage {
            CallStage::Waiting => {
                state.forget_waiting(key, receiver);
                let next = state.first_waker();
                drop(state);
                wake(next);
                Executed::No
            }
            CallStage::Done(_) => {
                let executed = state.take_done(key).executed();
                let task = self.unlock_returned(state);
                wake(task);
                executed
            }
            CallStage::Sent => {
                let executed = state.cancel(key);
                let task = state.outbox.take_sleeper();
                let next = state.first_waker();
                self.unlock_returned(state);
                wake(task);
                wake(next);
                executed
            }
        }
    }

    /// Returns credit, and unlocks. Returns the task to wake.
    fn unlock_returned(&self, mut state: MutexGuard<'_, CallingState>) -> Option<Waker> {
        match state.return_credit(self.credit_bytes) {
            true => state.outbox.take_sleeper(),
            false => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, CallingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn wake_all(wakers: Wakers) {
    for waker in wakers {
        waker.wake();
    }
}

impl HasOutbox for CalledLink {
    fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> R {
        act(&mut self.lock().outbox)
    }
}
