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
    taken: Vec<Option<Woken>>,
    free: Vec<usize>,
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
        let place = match places.free.pop() {
            Some(place) => place,
            None => {
                places.taken.push(None);
                places.taken.len() - 1
            }
        };
        if let Some(taken) = places.taken.get_mut(place) {
            *taken = Some(woken);
        }
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
        let left = places.taken.get_mut(self.place).and_then(Option::take);
        places.free.push(self.place);
        if places.free.len() == places.taken.len() {
            // The memory of many is not kept.
            *places = WakePlaces::default();
        }
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
            assert_eq!(list.lock().taken.capacity(), 0);
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
    fn a_place_is_used_again() {
        let list = Arc::<WakeList>::default();
        let _kept = list.join();
        for _ in 0..3 {
            drop(list.join());
        }
        let places = list.lock();
        assert_eq!((places.taken.len(), places.free.as_slice()), (2, &[1][..]));
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
