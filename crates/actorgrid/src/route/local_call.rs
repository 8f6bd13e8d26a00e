//! A request to a mailbox of the same process whose answer is awaited.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::call_places::{CallPlace, CallPlaces, LocalAnswer, PlaceStage};
use super::directory::{Directory, Queued};
use super::request_source::Answer;
use super::slab::SlabKey;
use crate::error::{Executed, RequestError};
use crate::message::Body;

/// A part of the calls.
pub(super) struct CallShard {
    pub(super) places: Arc<CallPlaces>,
    pub(super) directory: Arc<dyn Directory>,
}

/// A place of a call. Dropped, it is free again.
pub(crate) struct TakenPlace {
    shard: Arc<CallShard>,
    key: SlabKey,
    is_free: bool,
}

/// A local call whose answer is awaited. Dropped before, it withdraws the request from its queue.
pub(crate) struct LocalCall {
    place: TakenPlace,
    queued: Queued,
}

/// How a local call has ended.
#[derive(Debug)]
pub(crate) enum LocalOutcome {
    Replied(Body),
    /// It has failed. The message is here if the request was rejected after it was queued.
    Failed {
        error: RequestError,
        body: Option<Body>,
    },
    /// Its deadline has passed.
    Overdue(Executed),
}

/// How a wait has ended.
enum WaitEnd {
    Answered(Option<LocalAnswer>),
    Overdue,
    Deserted,
}

impl TakenPlace {
    pub(super) const fn new(shard: Arc<CallShard>, key: SlabKey) -> Self {
        Self {
            shard,
            key,
            is_free: false,
        }
    }

    /// The request is queued.
    pub(super) fn queued(self, queued: Queued) -> LocalCall {
        LocalCall {
            place: self,
            queued,
        }
    }

    /// Waits for an answer, or for the deadline.
    fn poll(&mut self, cx: &Context<'_>) -> Poll<WaitEnd> {
        let mut waker = None;
        loop {
            let mut state = self.shard.places.lock();
            // It is gone only if an earlier poll has panicked.
            let Some(place) = state.get_mut(self.key) else {
                return Poll::Ready(WaitEnd::Deserted);
            };
            // Wakers are code of users: they are cloned and dropped without the lock.
            match (&mut place.stage, waker.take()) {
                (PlaceStage::Waiting(old), None) => {
                    if old.will_wake(cx.waker()) {
                        return Poll::Pending;
                    }
                    drop(state);
                    waker = Some(cx.waker().clone());
                }
                (PlaceStage::Waiting(old), Some(new)) => {
                    let old = std::mem::replace(old, new);
                    drop(state);
                    drop(old);
                    return Poll::Pending;
                }
                (PlaceStage::Overdue, unused) => {
                    drop(state);
                    drop(unused);
                    return Poll::Ready(WaitEnd::Overdue);
                }
                (PlaceStage::Deserted, unused) => {
                    drop(state);
                    drop(unused);
                    return Poll::Ready(WaitEnd::Deserted);
                }
                (PlaceStage::Answered(_), unused) => {
                    let place = state.remove(self.key);
                    drop(state);
                    drop(unused);
                    self.is_free = true;
                    let answer = place.and_then(CallPlace::into_answer);
                    return Poll::Ready(WaitEnd::Answered(answer));
                }
            }
        }
    }

    /// Frees the place. Returns the answer, if it has come.
    fn free(&mut self) -> Option<LocalAnswer> {
        if std::mem::replace(&mut self.is_free, true) {
            return None;
        }
        let removed = self.shard.places.lock().remove(self.key);
        removed?.leave()
    }
}

impl Drop for TakenPlace {
    fn drop(&mut self) {
        self.free();
    }
}

impl LocalCall {
    /// Waits for the outcome. Not to be polled again after that.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<LocalOutcome> {
        let end = ready!(self.place.poll(cx));
        let is_deserted = matches!(end, WaitEnd::Deserted);
        let answer = match end {
            WaitEnd::Answered(answer) => {
                self.queued.answered();
                answer
            }
            WaitEnd::Overdue | WaitEnd::Deserted => {
                let was_queued = self.queued.withdraw() == Some(true);
                // It may have been answered a moment ago.
                let answer = self.place.free();
                if was_queued {
                    return Poll::Ready(LocalOutcome::without_answer(is_deserted, Executed::No));
                }
                answer
            }
        };
        Poll::Ready(match answer {
            Some(answer) => self.conclude(answer),
            None => LocalOutcome::without_answer(is_deserted, Executed::Maybe),
        })
    }

    fn conclude(&self, answer: LocalAnswer) -> LocalOutcome {
        let LocalAnswer { answer, returned } = answer;
        self.note(&answer);
        match answer {
            Ok(reply) => LocalOutcome::Replied(reply),
            Err(error) => LocalOutcome::Failed {
                error,
                body: returned.map(|body| *body),
            },
        }
    }

    fn note(&self, answer: &Answer) {
        if let Err(error) = answer {
            self.place.shard.directory.failed(error.kind());
        }
    }
}

impl Drop for LocalCall {
    fn drop(&mut self) {
        // The request has left the queue. Its answer may have arrived unnoticed.
        if self.queued.withdraw() == Some(false)
            && let Some(answer) = self.place.free()
        {
            self.note(&answer.answer);
        }
    }
}

impl LocalOutcome {
    fn without_answer(is_deserted: bool, executed: Executed) -> Self {
        if !is_deserted {
            return Self::Overdue(executed);
        }
        let error = match executed {
            Executed::No => RequestError::mailbox_closed(),
            _ => RequestError::no_reply("the runtime of the peer is gone"),
        };
        Self::Failed { error, body: None }
    }
}
