//! Calls over a connection that answers in order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bench_kit::BoxError;

/// The requests that wait to be sent, and the callers that wait for an answer.
///
/// The task of the connection takes what is queued when [`poll_ready`](Self::poll_ready) says that
/// there is something, and passes answers on with [`answer`](Self::answer), several at a time: the
/// lock is taken once for them.
#[derive(Debug)]
pub(super) struct OrderedCalls<Q> {
    state: Arc<Mutex<CallsState<Q>>>,
}

#[derive(Debug)]
struct CallsState<Q> {
    /// Requests in the form in which the connection sends them.
    queue: Q,
    is_queued: bool,
    /// The task of the connection, while it waits for requests.
    driver: Option<Waker>,
    slots: Vec<CallSlot>,
    free: Vec<usize>,
    /// The slots of unanswered calls, in the order of their requests.
    unanswered: VecDeque<usize>,
    is_lost: bool,
}

#[derive(Debug)]
enum CallSlot {
    Free,
    Waits(Waker),
    Answered(usize),
    Lost,
}

impl<Q> Clone for OrderedCalls<Q> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
        }
    }
}

impl<Q: Default> OrderedCalls<Q> {
    pub(super) fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(CallsState {
                queue: Q::default(),
                is_queued: false,
                driver: None,
                slots: Vec::new(),
                free: Vec::new(),
                unanswered: VecDeque::new(),
                is_lost: false,
            })),
        }
    }

    /// Queues a request and waits for its answer, whose length it returns.
    pub(super) async fn call(&self, enqueue: impl Fn(&mut Q)) -> Result<usize, BoxError> {
        let mut slot = None;
        poll_fn(|context| match slot {
            Some(place) => self.poll_answer(place, context),
            None => self.poll_send(&mut slot, &enqueue, context),
        })
        .await
    }

    fn poll_send(
        &self,
        slot: &mut Option<usize>,
        enqueue: impl Fn(&mut Q),
        context: &Context<'_>,
    ) -> Poll<Result<usize, BoxError>> {
        let mut state = self.lock();
        if state.is_lost {
            return Poll::Ready(Err("the connection is lost".into()));
        }
        let waits = CallSlot::Waits(context.waker().clone());
        let place = match state.free.pop() {
            Some(place) => {
                state.slots[place] = waits;
                place
            }
            None => {
                state.slots.push(waits);
                state.slots.len() - 1
            }
        };
        *slot = Some(place);
        state.unanswered.push_back(place);
        enqueue(&mut state.queue);
        state.is_queued = true;
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        Poll::Pending
    }

    fn poll_answer(&self, place: usize, context: &Context<'_>) -> Poll<Result<usize, BoxError>> {
        let mut state = self.lock();
        match &mut state.slots[place] {
            CallSlot::Waits(waker) => {
                waker.clone_from(context.waker());
                return Poll::Pending;
            }
            CallSlot::Answered(length) => {
                let length = *length;
                state.slots[place] = CallSlot::Free;
                state.free.push(place);
                return Poll::Ready(Ok(length));
            }
            CallSlot::Free | CallSlot::Lost => {}
        }
        Poll::Ready(Err("the connection is lost".into()))
    }

    /// Whether something is queued. If not, the context is woken when there is.
    pub(super) fn poll_ready(&self, context: &Context<'_>) -> bool {
        let mut state = self.lock();
        if !state.is_queued {
            state.driver = Some(context.waker().clone());
        }
        state.is_queued
    }

    /// Exchanges what is queued for this, which is empty.
    pub(super) fn exchange_queued(&self, empty: &mut Q) {
        let mut state = self.lock();
        state.is_queued = false;
        std::mem::swap(&mut state.queue, empty);
    }

    /// Gives the oldest calls their answers.
    pub(super) fn answer(&self, lengths: &[usize], wakers: &mut Vec<Waker>) {
        let mut state = self.lock();
        for &length in lengths {
            let Some(place) = state.unanswered.pop_front() else {
                break;
            };
            let slot = &mut state.slots[place];
            if let CallSlot::Waits(waker) = std::mem::replace(slot, CallSlot::Answered(length)) {
                wakers.push(waker);
            }
        }
        drop(state);
        for waker in wakers.drain(..) {
            waker.wake();
        }
    }

    /// Fails all calls, and those to come.
    pub(super) fn lose(&self) {
        let mut state = self.lock();
        state.is_lost = true;
        let mut wakers = Vec::new();
        while let Some(place) = state.unanswered.pop_front() {
            if let CallSlot::Waits(waker) =
                std::mem::replace(&mut state.slots[place], CallSlot::Lost)
            {
                wakers.push(waker);
            }
        }
        drop(state);
        for waker in wakers {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, CallsState<Q>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
