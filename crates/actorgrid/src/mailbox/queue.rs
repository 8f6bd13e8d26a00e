//! The queue of a mailbox: bounded, with one receiver, and with removal from the middle.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::places::Places;
use crate::route::QueuePlace;

/// The queue of a mailbox, first in, first out. It exists before the mailbox does: while the name
/// is being decided, requests wait in it in order, and they keep their places when the mailbox
/// opens.
///
/// No value is dropped and no task is woken under its lock: both may run foreign code, which may
/// call back into the queue.
pub(super) struct Queue<T> {
    state: Mutex<QueueState<T>>,
}

/// The chunks of places that an empty queue keeps if it has just needed them: a busy one would
/// allocate and free them over and over.
const KEPT_CHUNKS: usize = 4;

struct QueueState<T> {
    places: Places<T>,
    capacity: usize,
    phase: Phase,
    /// The receiver, while it waits.
    receiver: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The name is being decided: there may or may not be a mailbox.
    Deciding,
    Open,
    Closed,
}

/// A value that was not queued, and why.
pub(super) enum NotQueued<T> {
    Full(T),
    Closed(T),
}

/// The outcome of taking the next value.
pub(super) enum Popped<T> {
    Next(T),
    /// There is no value at the moment.
    Empty,
    /// There will be no more values: the queue is closed.
    Ended,
}

impl<T> Queue<T> {
    /// Creates a queue for this many values while the name is being decided. Values take memory
    /// only once they are queued.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(QueueState {
                places: Places::new(),
                capacity,
                phase: Phase::Deciding,
                receiver: None,
            }),
        }
    }

    /// Turns the queue into that of a mailbox with this capacity, once the name is won. The waiting
    /// values stay, even beyond the capacity, except those for which `remove_if` is true: they are
    /// returned. `remove_if` runs under the lock, so it must not call back into the queue.
    pub(super) fn open(&self, capacity: usize, remove_if: impl FnMut(&mut T) -> bool) -> Vec<T> {
        let mut state = self.lock();
        if state.phase != Phase::Deciding {
            return Vec::new();
        }
        state.phase = Phase::Open;
        state.capacity = capacity;
        let gone = state.places.take_where(remove_if);
        self.unlock(state);
        gone
    }

    /// Closes the queue because the name is lost, unless the queue was opened before. Returns
    /// whether this call closed it: then the caller must take the values that wait.
    pub(super) fn abandon(&self) -> bool {
        let mut state = self.lock();
        let is_abandoned = state.phase == Phase::Deciding;
        if is_abandoned {
            state.phase = Phase::Closed;
        }
        self.unlock(state);
        is_abandoned
    }

    /// Appends a value while the name is being decided. After that, this rejects values as if the
    /// queue were closed.
    pub(super) fn push_waiting(&self, value: T) -> Result<QueuePlace, NotQueued<T>> {
        let state = self.lock();
        match state.phase {
            Phase::Deciding => self.push_to(state, value),
            Phase::Open | Phase::Closed => Err(NotQueued::Closed(value)),
        }
    }

    /// Appends a value.
    pub(super) fn push(&self, value: T) -> Result<QueuePlace, NotQueued<T>> {
        self.push_to(self.lock(), value)
    }

    fn push_to(
        &self,
        mut state: MutexGuard<'_, QueueState<T>>,
        value: T,
    ) -> Result<QueuePlace, NotQueued<T>> {
        if state.phase == Phase::Closed {
            return Err(NotQueued::Closed(value));
        }
        if state.places.len() >= state.capacity {
            return Err(NotQueued::Full(value));
        }
        let place = state.places.push(value);
        let receiver = state.receiver.take();
        drop(state);
        if let Some(receiver) = receiver
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| receiver.wake()))
        {
            // It is code of users. Nobody would learn the place.
            drop(self.remove(place));
            resume_unwind(panic);
        }
        Ok(place)
    }

    /// Removes and returns the first value.
    pub(super) fn pop(&self) -> Popped<T> {
        let mut state = self.lock();
        match state.places.pop() {
            Some(value) => {
                self.unlock(state);
                Popped::Next(value)
            }
            None if state.phase == Phase::Closed => Popped::Ended,
            None => Popped::Empty,
        }
    }

    /// Removes and returns the first value, or waits for one; returns `None` once the queue is
    /// closed and empty.
    pub(super) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.lock();
        if let Some(value) = state.places.pop() {
            self.unlock(state);
            return Poll::Ready(Some(value));
        }
        if state.phase == Phase::Closed {
            return Poll::Ready(None);
        }
        let waits = |receiver: &Waker| receiver.will_wake(cx.waker());
        if !state.receiver.as_ref().is_some_and(waits) {
            let replaced = state.receiver.replace(cx.waker().clone());
            drop(state);
            drop(replaced);
        }
        Poll::Pending
    }

    /// Removes and returns the value at a place, if it is still there.
    pub(super) fn remove(&self, place: QueuePlace) -> Option<T> {
        let mut state = self.lock();
        let value = state.places.remove(place);
        self.unlock(state);
        value
    }

    /// Closes the queue to new values. The queued ones can still be taken.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        // Only the receiver closes the queue, so it is not waiting. Its waker would keep its task
        // alive.
        let receiver = state.receiver.take();
        self.unlock(state);
        drop(receiver);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().places.len()
    }

    /// Whether the queue has no room for another value at the moment.
    pub(super) fn is_full(&self) -> bool {
        let state = self.lock();
        state.places.len() >= state.capacity
    }

    /// Unlocks the state, and frees the memory that is no longer needed.
    fn unlock(&self, mut state: MutexGuard<'_, QueueState<T>>) {
        let kept = match state.phase {
            Phase::Closed => 0,
            Phase::Deciding | Phase::Open => KEPT_CHUNKS,
        };
        let spare = state.places.take_spare(kept);
        drop(state);
        drop(spare);
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Looks into its queue when it is dropped, as user code might.
    struct Curious {
        queue: Arc<Queue<Curious>>,
        seen: Arc<AtomicUsize>,
    }

    impl Drop for Curious {
        fn drop(&mut self) {
            self.seen.fetch_add(1 + self.queue.len(), Ordering::SeqCst);
        }
    }

    struct Panics;

    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("as asked")
        }
    }

    #[test]
    fn a_value_does_not_stay_if_waking_the_receiver_panics() {
        let queue = Queue::new(2);
        queue.open(2, |_| false);
        let waker = Arc::new(Panics).into();
        let polled = queue.poll_pop(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        let pushed = catch_unwind(AssertUnwindSafe(|| queue.push(1).is_ok()));
        assert!(pushed.is_err());
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test]
    async fn the_receiver_waits_for_a_value_or_the_end() {
        let queue = Queue::new(2);
        let pop = || poll_fn(|cx| queue.poll_pop(cx));
        let pushes = async {
            tokio::task::yield_now().await;
            let first = queue.push("left").unwrap_or_else(|_| panic!("full"));
            assert_eq!(queue.remove(first), Some("left"));
            // This wake-up brought no value: the receiver keeps waiting.
            tokio::task::yield_now().await;
            assert!(queue.push("taken").is_ok());
        };
        let (taken, ()) = tokio::join!(pop(), pushes);
        assert_eq!(taken, Some("taken"));

        assert!(queue.push("last").is_ok());
        queue.close();
        assert!(matches!(queue.push("late"), Err(NotQueued::Closed("late"))));
        assert_eq!(pop().await, Some("last"));
        assert_eq!(pop().await, None);
        assert!(matches!(queue.pop(), Popped::Ended));
    }

    #[test]
    fn it_is_full_at_its_capacity_and_a_place_that_is_left_is_free() {
        let queue = Queue::new(2);
        let place = queue.push(1).unwrap_or_else(|_| panic!("full"));
        assert!(!queue.is_full());
        assert!(queue.push(2).is_ok());
        assert!(queue.is_full());
        assert!(matches!(queue.push(3), Err(NotQueued::Full(3))));
        assert_eq!(queue.remove(place), Some(1));
        assert!(queue.push(4).is_ok());
        assert!(matches!(queue.pop(), Popped::Next(2)));
        assert!(matches!(queue.pop(), Popped::Next(4)));
        assert!(matches!(queue.pop(), Popped::Empty));
    }

    #[test]
    fn waiting_values_keep_their_places_when_the_queue_opens() {
        let queue = Queue::new(3);
        let places: Vec<_> = (1..=3)
            .filter_map(|value| queue.push_waiting(value).ok())
            .collect();
        assert!(matches!(queue.push_waiting(4), Err(NotQueued::Full(4))));
        // One is rejected, and the others are more than the mailbox's capacity.
        assert_eq!(queue.open(1, |value| *value == 1), [1]);
        assert!(matches!(queue.push_waiting(5), Err(NotQueued::Closed(5))));
        assert!(matches!(queue.push(6), Err(NotQueued::Full(6))));
        assert_eq!(queue.remove(places[2]), Some(3));
        assert_eq!(queue.remove(places[0]), None);
        assert!(matches!(queue.pop(), Popped::Next(2)));
        assert!(queue.push(7).is_ok());
        assert!(!queue.abandon(), "it is open");
        assert!(matches!(queue.pop(), Popped::Next(7)));
        assert!(matches!(queue.pop(), Popped::Empty));
    }

    #[test]
    fn an_abandoned_queue_accepts_no_more() {
        let queue = Queue::new(3);
        assert!(queue.push_waiting(1).is_ok());
        assert!(queue.abandon());
        assert!(!queue.abandon());
        assert!(queue.open(9, |_| false).is_empty());
        assert!(matches!(queue.push_waiting(2), Err(NotQueued::Closed(2))));
        assert!(matches!(queue.push(2), Err(NotQueued::Closed(2))));
        assert!(matches!(queue.pop(), Popped::Next(1)));
        assert!(matches!(queue.pop(), Popped::Ended));
    }

    #[test]
    fn values_are_dropped_without_its_lock() {
        let queue = Arc::new(Queue::new(3));
        let seen = Arc::new(AtomicUsize::new(0));
        let push = || {
            let (queue, seen) = (queue.clone(), seen.clone());
            queue.clone().push(Curious { queue, seen })
        };
        let place = push().ok();
        assert!(push().is_ok() && push().is_ok());
        assert!(push().is_err());
        drop(place.map(|place| queue.remove(place)));
        drop(queue.pop());
        queue.close();
        assert!(push().is_err());
        drop(queue.pop());
        assert_eq!(seen.load(Ordering::SeqCst), 5 + 3 + 2 + 1 + 1);
    }

    /// Several threads push, and withdraw half of it, while the receiver takes the rest.
    #[test]
    fn each_value_is_taken_or_withdrawn_once() {
        const EACH: usize = 20_000;
        let queue = Queue::new(40);
        let (mut taken, withdrawn) = (Vec::new(), Mutex::new(Vec::new()));
        let deliver = |start: usize| {
            for value in start..start + EACH {
                let place = loop {
                    match queue.push(value) {
                        Ok(place) => break place,
                        Err(_) => std::thread::yield_now(),
                    }
                };
                if value % 2 == 0
                    && let Some(value) = queue.remove(place)
                {
                    withdrawn.lock().unwrap().push(value);
                }
            }
        };
        std::thread::scope(|threads| {
            let deliver = &deliver;
            let deliveries = [0, EACH].map(|start| threads.spawn(move || deliver(start)));
            loop {
                let over = deliveries.iter().all(|delivery| delivery.is_finished());
                match queue.pop() {
                    Popped::Next(value) => taken.push(value),
                    _ if over => break,
                    _ => std::thread::yield_now(),
                }
            }
        });
        // The values of one thread keep their order.
        for start in [0, EACH] {
            let own = |value: &&usize| (start..start + EACH).contains(*value);
            assert!(taken.iter().filter(own).is_sorted());
        }
        taken.append(&mut withdrawn.lock().unwrap());
        taken.sort_unstable();
        assert_eq!(taken, (0..2 * EACH).collect::<Vec<_>>());
    }
}
