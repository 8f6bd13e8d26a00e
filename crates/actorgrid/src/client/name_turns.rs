//! Keeps the order of a client's requests to a name while its holder is being looked up.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::environment::Environment;
use crate::name::Name;

/// The requests of a client that may wait. Each has its caller, who gives up at its deadline.
const MAX_WAITING: usize = 64 * 1024;
/// How long a request that knows the holder waits for earlier ones. Those go on as soon as they are
/// polled, so one that takes longer is held by a caller who does not poll it, and may not do so
/// before this request has ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// The requests that wait until the holders of their names are known.
///
/// Their lookup ends for all of them at once. Without turns, one that comes then, and finds the
/// holder, would overtake those that have not been polled yet.
#[derive(Default)]
pub(super) struct NameTurns {
    /// How many wait, so that requests that need not wait take no lock.
    waiting: AtomicUsize,
    names: Mutex<TurnLines>,
}

#[derive(Default)]
struct TurnLines {
    by_name: HashMap<Name, VecDeque<WaitingTurn>>,
    next: u64,
}

struct WaitingTurn {
    number: u64,
    waker: Option<Waker>,
}

/// The place of one request among those to its name. Dropped, it is free.
pub(super) struct NameTurn<'a> {
    turns: &'a NameTurns,
    name: Name,
    number: u64,
}

impl NameTurns {
    /// Whether no request to this name waits.
    #[inline]
    pub(super) fn is_free(&self, name: &Name) -> bool {
        self.waiting.load(Ordering::Acquire) == 0 || !self.lock().by_name.contains_key(name)
    }

    /// Takes a place behind all requests to this name that wait. None if too many wait.
    pub(super) fn join(&self, name: &Name) -> Option<NameTurn<'_>> {
        let mut names = self.lock();
        if self.waiting.load(Ordering::Acquire) >= MAX_WAITING {
            return None;
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let number = names.next;
        names.next += 1;
        let line = names.by_name.entry(name.clone()).or_default();
        line.push_back(WaitingTurn {
            number,
            waker: None,
        });
        Some(NameTurn {
            turns: self,
            name: name.clone(),
            number,
        })
    }

    fn lock(&self) -> MutexGuard<'_, TurnLines> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NameTurn<'_> {
    /// Waits until all earlier requests have gone on, but not for long. Cancel safe.
    pub(super) async fn come(&self, environment: &Environment) {
        let first = poll_fn(|cx| {
            let mut names = self.turns.lock();
            let line = names.by_name.get_mut(&self.name);
            let Some(line) = line.filter(|line| !self.is_first_of(line)) else {
                return Poll::Ready(());
            };
            let own = line.iter_mut().find(|turn| turn.number == self.number);
            if let Some(own) = own {
                own.waker = Some(cx.waker().clone());
            }
            Poll::Pending
        });
        let mut first = pin!(first);
        // Most need no timer.
        if futures_util::poll!(first.as_mut()).is_pending() {
            environment.timeout(PATIENCE, first).await;
        }
    }

    fn is_first_of(&self, line: &VecDeque<WaitingTurn>) -> bool {
        line.front().is_none_or(|turn| turn.number == self.number)
    }
}

impl Drop for NameTurn<'_> {
    fn drop(&mut self) {
        let mut names = self.turns.lock();
        let Some(line) = names.by_name.get_mut(&self.name) else {
            return;
        };
        let was_first = self.is_first_of(line);
        // They are in the order of their numbers.
        if let Ok(place) = line.binary_search_by_key(&self.number, |turn| turn.number) {
            line.remove(place);
            self.turns.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        let next = line.front_mut().filter(|_| was_first);
        let next = next.and_then(|turn| turn.waker.take());
        if line.is_empty() {
            names.by_name.remove(&self.name);
        }
        drop(names);
        if let Some(next) = next {
            next.wake();
        }
    }
}
