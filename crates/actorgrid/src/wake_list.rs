//! Wakes tasks that wait for a condition, which each of them checks itself.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// The tasks to wake when a condition changes. Each task checks the condition itself.
///
/// Joining, leaving and waking take the list's lock; waiting does not: a task that waits often
/// keeps its [`WakePlace`], and is then polled without a lock.
#[derive(Debug, Default)]
pub(crate) struct WakeList {
    places: Mutex<WakePlaces>,
    #[cfg(test)]
    locked: std::sync::atomic::AtomicUsize,
}

/// Numbered places, of which free ones are used again.
#[derive(Debug, Default)]
struct WakePlaces {
    /// The last one is taken.
    taken: Vec<Option<Woken>>,
    /// All places that are free, and some that are not, or are gone.
    free: Vec<usize>,
}

/// So many places are not worth freeing.
const KEPT_PLACES: usize = 64;

impl WakePlaces {
    fn take(&mut self, woken: Woken) -> usize {
        while let Some(place) = self.free.pop() {
            if let Some(taken @ None) = self.taken.get_mut(place) {
                *taken = Some(woken);
                return place;
            }
        }
        self.taken.push(Some(woken));
        self.taken.len() - 1
    }

    fn leave(&mut self, place: usize) -> Option<Woken> {
        let left = self.taken.get_mut(place).and_then(Option::take);
        self.free.push(place);
        while let Some(None) = self.taken.last() {
            self.taken.pop();
        }
        let kept = self.taken.len() * 2 + KEPT_PLACES;
        if self.taken.capacity() > 2 * kept {
            self.taken.shrink_to(kept);
        }
        if self.free.len() > kept {
            let taken = &self.taken;
            let is_free = |place: &usize| matches!(taken.get(*place), Some(None));
            self.free.retain(is_free);
            self.free.shrink_to(kept);
        }
        left
    }
}

#[derive(Debug, Clone)]
enum Woken {
    Task(Arc<AtomicWaker>),
    List(Weak<WakeList>),
}

impl WakeList {
    /// Wakes all tasks. Call this after the condition has changed. Several threads may call it at
    /// once.
    pub(crate) fn wake_all(&self) {
        // Wake without the lock: waking may run foreign code, which may call back into the list.
        let woken: Vec<Woken> = self.lock().taken.iter().flatten().cloned().collect();
        for woken in woken {
            match woken {
                Woken::Task(waker) => waker.wake(),
                Woken::List(list) => {
                    if let Some(list) = list.upgrade() {
                        list.wake_all();
                    }
                }
            }
        }
    }

    /// Returns a place for one waiting task.
    pub(crate) fn join(self: &Arc<Self>) -> WakePlace {
        let waker = Arc::new(AtomicWaker::new());
        WakePlace {
            link: self.take(Woken::Task(waker.clone())),
            waker,
        }
    }

    /// Makes every wake of this list also wake all tasks in `list`, until the link is dropped.
    pub(crate) fn link(self: &Arc<Self>, list: &Arc<Self>) -> WakeLink {
        self.take(Woken::List(Arc::downgrade(list)))
    }

    fn take(self: &Arc<Self>, woken: Woken) -> WakeLink {
        let mut places = self.lock();
        let place = places.take(woken);
        drop(places);
        WakeLink {
            list: self.clone(),
            place,
        }
    }

    fn lock(&self) -> MutexGuard<'_, WakePlaces> {
        #[cfg(test)]
        self.locked
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the lock was taken.
    #[cfg(test)]
    pub(crate) fn locked(&self) -> usize {
        self.locked.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// An entry in a list. Dropping it removes the entry.
#[derive(Debug)]
pub(crate) struct WakeLink {
    list: Arc<WakeList>,
    place: usize,
}

impl Drop for WakeLink {
    fn drop(&mut self) {
        let mut places = self.list.lock();
        let left = places.leave(self.place);
        drop(places);
        // It may be the last reference to a waker, whose drop may be code of users.
        drop(left);
    }
}

/// The place of one task, which can wait any number of times.
#[derive(Debug)]
pub(crate) struct WakePlace {
    #[allow(dead_code)] // held for its drop
    link: WakeLink,
    waker: Arc<AtomicWaker>,
}

impl WakePlace {
    /// Registers the task of `cx` to be woken. Check the condition after this call: a change
    /// between an earlier check and this call would be missed.
    pub(crate) fn register(&mut self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Waits until `is_so` returns true; checks it at once and after each wake. Cancel safe.
    pub(crate) async fn until(&mut self, is_so: impl Fn() -> bool) {
        poll_fn(|cx| {
            self.register(cx);
            match is_so() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_wake_reaches_linked_lists_and_dropped_places_are_removed() {
        let (upper, lower) = (Arc::<WakeList>::default(), Arc::<WakeList>::default());
        let changed = AtomicUsize::new(0);
        let link = upper.link(&lower);
        let mut place = lower.join();
        {
            let mut waits = std::pin::pin!(place.until(|| changed.load(Ordering::SeqCst) == 1));
            assert!(waits.as_mut().now_or_never().is_none());
            tokio::join!(waits, async {
                changed.store(1, Ordering::SeqCst);
                upper.wake_all();
            });
        }
        drop((place, link));
        for list in [upper, lower] {
            assert!(list.lock().taken.is_empty());
        }
    }

    /// Two threads take turns, and each is woken only by the other.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_change_is_missed() {
        const TURNS: usize = 20_000;
        let (list, turn) = (Arc::<WakeList>::default(), Arc::new(AtomicUsize::new(0)));
        let player = |first: usize| {
            let (list, turn) = (list.clone(), turn.clone());
            async move {
                let mut place = list.join();
                for mine in (first..TURNS).step_by(2) {
                    place.until(|| turn.load(Ordering::Acquire) == mine).await;
                    turn.store(mine + 1, Ordering::Release);
                    list.wake_all();
                }
            }
        };
        let mut players = tokio::task::JoinSet::new();
        for first in [0, 1] {
            players.spawn(player(first));
        }
        players.join_all().await;
        assert_eq!(turn.load(Ordering::Acquire), TURNS);
    }

    #[test]
    fn a_place_is_used_again_and_never_by_two() {
        let list = Arc::<WakeList>::default();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut links: Vec<WakePlace> = Vec::new();
        for _ in 0..20_000 {
            match rng.usize(0..links.len() + 20) < links.len() {
                true => drop(links.swap_remove(rng.usize(0..links.len()))),
                false => links.push(list.join()),
            }
            let places = list.lock();
            let taken = places.taken.iter().flatten().count();
            assert_eq!(taken, links.len());
            assert!(places.free.len() <= 2 * places.taken.len() + KEPT_PLACES);
        }
    }

    #[test]
    fn the_memory_of_many_is_freed_although_one_stays() {
        let list = Arc::<WakeList>::default();
        let _first = list.join();
        let many: Vec<_> = (0..10_000).map(|_| list.join()).collect();
        drop(many);
        let places = list.lock();
        assert_eq!(places.taken.len(), 1);
        assert!(places.taken.capacity() <= 200 && places.free.capacity() <= 200);
    }

    #[tokio::test]
    async fn waiting_at_a_place_takes_no_lock() {
        let list = Arc::<WakeList>::default();
        let mut place = list.join();
        let joined = list.locked();
        for _ in 0..100 {
            assert!(place.until(|| false).now_or_never().is_none());
        }
        assert_eq!(list.locked(), joined);
    }
}
