//! The places of unanswered calls to mailboxes of the same process. A call needs no channel.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::request_source::Answer;
use super::slab::{Slab, SlabKey};
use crate::environment::Deadline;
use crate::message::Body;

/// The calls of a shard that may have places. Further calls go without: they cost a channel and a
/// timer each. A place takes about a hundred bytes.
pub(super) const MAX_CALLS: usize = 4_096;
/// The places that a shard keeps while it has no calls, as the next ones will need some.
const KEPT_PLACES: usize = 64;

/// The places of a part of the calls, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct CallPlaces(Mutex<PlacesState>);

pub(super) struct PlacesState {
    places: Slab<CallPlace>,
    /// The calls that wait for an answer, or for their deadline.
    waiting: usize,
    /// No call that waits has an earlier deadline.
    earliest: Option<Deadline>,
    /// Whether a call has begun since the last look at the deadlines.
    was_used: bool,
    /// Nobody looks at deadlines any more, so no call may begin.
    is_closed: bool,
}

/// A call whose requester has not read its answer.
pub(super) struct CallPlace {
    deadline: Deadline,
    pub(super) stage: PlaceStage,
    /// The receiver, while it waits for the requester to leave.
    leaving: Option<Waker>,
}

/// How far a call has come.
pub(super) enum PlaceStage {
    /// Its requester waits.
    Waiting(Waker),
    Answered(LocalAnswer),
    Overdue,
    /// Nobody looks at its deadline any more.
    Deserted,
}

/// An answer.
#[derive(Debug)]
pub(super) struct LocalAnswer {
    pub(super) answer: Answer,
    /// The message of a request that was queued and then rejected.
    pub(super) returned: Option<Box<Body>>,
}

impl CallPlaces {
    pub(super) fn lock(&self) -> MutexGuard<'_, PlacesState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place. None if all are taken, or deadlines are not looked at any more.
    pub(super) fn take(&self, deadline: Deadline, waker: Waker) -> Option<SlabKey> {
        let mut state = self.lock();
        if state.is_closed || state.places.len() >= MAX_CALLS {
            drop(state);
            drop(waker);
            return None;
        }
        Some(state.insert(deadline, waker))
    }

    /// Answers a call. Returns the answer if nobody waits for it any more.
    pub(super) fn answer(&self, key: SlabKey, answer: LocalAnswer) -> Result<(), LocalAnswer> {
        let mut state = self.lock();
        let Some(place) = state.places.get_mut(key) else {
            return Err(answer);
        };
        // Wakers are code of users, so they are woken and dropped without the lock.
        let left = place.leaving.take();
        let before = std::mem::replace(&mut place.stage, PlaceStage::Answered(answer));
        if let PlaceStage::Waiting(requester) = before {
            state.waiting -= 1;
            drop(state);
            requester.wake();
        } else {
            drop(state);
        }
        drop(left);
        Ok(())
    }

    /// Whether a call has its place.
    pub(super) fn has(&self, key: SlabKey) -> bool {
        self.lock().places.get(key).is_some()
    }

    /// Notes who is woken when the requester of a call leaves. Returns false if it has left.
    pub(super) fn note_leaving(&self, key: SlabKey, waker: Waker) -> bool {
        let mut state = self.lock();
        let unused = match state.places.get_mut(key) {
            Some(place) => place.leaving.replace(waker),
            None => {
                drop(state);
                drop(waker);
                return false;
            }
        };
        drop(state);
        drop(unused);
        true
    }

    /// Wakes those whose deadline has passed. Returns the next deadline of a call that waits.
    pub(super) fn expire(&self, now: Deadline, woken: &mut Vec<Waker>) -> Option<Deadline> {
        let mut state = self.lock();
        if !std::mem::take(&mut state.was_used) {
            state.places.shrink(KEPT_PLACES);
        }
        state.expire(now, woken);
        state.earliest
    }

    /// Lets no call begin any more. Returns whether none waits.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        state.is_closed = true;
        state.is_done()
    }

    /// Whether no call waits, and none can begin.
    pub(super) fn is_done(&self) -> bool {
        self.lock().is_done()
    }

    /// Ends all calls that wait, and lets none begin any more.
    pub(super) fn desert(&self, woken: &mut Vec<Waker>) {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting = 0;
        for (_, place) in state.places.iter_mut() {
            place.end_wait(PlaceStage::Deserted, woken);
        }
    }
}

impl Default for PlacesState {
    fn default() -> Self {
        Self {
            places: Slab::new(),
            waiting: 0,
            earliest: None,
            was_used: false,
            is_closed: false,
        }
    }
}

impl PlacesState {
    fn insert(&mut self, deadline: Deadline, waker: Waker) -> SlabKey {
        self.waiting += 1;
        self.was_used = true;
        self.earliest = Some(self.earliest.map_or(deadline, |least| least.min(deadline)));
        self.places.insert(CallPlace {
            deadline,
            stage: PlaceStage::Waiting(waker),
            leaving: None,
        })
    }

    pub(super) fn get_mut(&mut self, key: SlabKey) -> Option<&mut CallPlace> {
        self.places.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: SlabKey) -> Option<CallPlace> {
        let place = self.places.remove(key)?;
        if let PlaceStage::Waiting(_) = place.stage {
            self.waiting -= 1;
        }
        Some(place)
    }

    const fn is_done(&self) -> bool {
        self.is_closed && self.waiting == 0
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    fn expire(&mut self, now: Deadline, woken: &mut Vec<Waker>) {
        if self.waiting == 0 {
            self.earliest = None;
        }
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return;
        }
        let (mut earliest, before) = (None::<Deadline>, woken.len());
        for (_, place) in self.places.iter_mut() {
            if place.deadline <= now {
                place.end_wait(PlaceStage::Overdue, woken);
            } else if let PlaceStage::Waiting(_) = place.stage {
                earliest = Some(earliest.map_or(place.deadline, |least| least.min(place.deadline)));
            }
        }
        self.earliest = earliest;
        self.waiting -= woken.len() - before;
    }
}

impl CallPlace {
    /// Ends a wait. To be woken without the lock.
    fn end_wait(&mut self, stage: PlaceStage, woken: &mut Vec<Waker>) {
        if let PlaceStage::Waiting(_) = self.stage
            && let PlaceStage::Waiting(waker) = std::mem::replace(&mut self.stage, stage)
        {
            woken.push(waker);
        }
    }

    /// Tells the receiver that the requester leaves. Returns the answer, if it has come.
    pub(super) fn leave(mut self) -> Option<LocalAnswer> {
        if let Some(receiver) = self.leaving.take() {
            receiver.wake();
        }
        self.into_answer()
    }

    pub(super) fn into_answer(self) -> Option<LocalAnswer> {
        match self.stage {
            PlaceStage::Answered(answer) => Some(answer),
            PlaceStage::Waiting(_) | PlaceStage::Overdue | PlaceStage::Deserted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    /// A waker whose drop needs the lock.
    struct Locks(Arc<CallPlaces>);

    impl std::task::Wake for Locks {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Locks {
        fn drop(&mut self) {
            assert!(self.0.0.try_lock().is_ok());
        }
    }

    fn later() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    #[tokio::test(start_paused = true)]
    async fn a_waker_without_a_place_is_dropped_without_the_lock() {
        let places: Arc<CallPlaces> = Arc::default();
        for _ in 0..MAX_CALLS {
            assert!(places.take(later(), Waker::noop().clone()).is_some());
        }
        let waker = Arc::new(Locks(places.clone())).into();
        assert!(places.take(later(), waker).is_none());
        let waker = Arc::new(Locks(places.clone())).into();
        let gone = Slab::new().insert(());
        places.lock().remove(gone);
        assert!(!places.note_leaving(gone, waker));
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_a_burst_is_freed() {
        let places = CallPlaces::default();
        let look = || {
            let next = places.expire(Deadline::after(Duration::ZERO), &mut Vec::new());
            (next.is_some(), places.lock().places.places())
        };
        let keys: Vec<_> = (0..500)
            .map(|_| places.take(later(), Waker::noop().clone()).unwrap())
            .collect();
        assert_eq!(look(), (true, 500));
        for key in keys {
            assert!(places.lock().remove(key).is_some());
        }
        let key = places.take(later(), Waker::noop().clone()).unwrap();
        places.lock().remove(key);
        // It was used a moment ago.
        assert_eq!(look(), (false, 500));
        assert_eq!(look(), (false, KEPT_PLACES));
        assert!(!places.has(key));
    }
}
