//! The bounded log through which a server's events reach their readers.
//!
//! All readers share one log, so its size does not depend on their number; each reader has its own
//! position in it. When the log is full, its oldest event is dropped, however slow a reader is.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::server_event::ServerEvent;

/// The maximum number of events in the log: some seconds of a busy peer. Their texts are cut (see
/// `MAX_EVENT_TEXT`), and each has two names of at most `MAX_NAME_LEN` bytes, which are shared with
/// the actor, so the log takes less than 3 MiB.
pub(super) const MAX_EVENTS: usize = 1024;

/// The writing end of a log. Dropping it ends the log.
pub(in crate::server) struct EventSource(Arc<EventLog>);

impl EventSource {
    pub(in crate::server) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn log(&self) -> &Arc<EventLog> {
        &self.0
    }

    /// Appends the event if there is a reader; otherwise the event is not even created.
    pub(in crate::server) fn publish(&self, event: impl FnOnce() -> ServerEvent) {
        // Pairs with `subscribe`. A reader that subscribes concurrently may miss the event, as if
        // it had subscribed later.
        if self.0.readers.load(Ordering::Acquire) > 0 {
            let event = event();
            let wakers = self.0.lock().append(event);
            wake(wakers);
        }
    }

    /// Makes a change, and appends its event if something did change. For every reader, both happen
    /// before its subscription or both after it.
    pub(in crate::server) fn publish_change(
        &self,
        change: impl FnOnce() -> bool,
        event: impl FnOnce() -> ServerEvent,
    ) {
        let mut state = self.0.lock();
        if !change() || self.0.readers.load(Ordering::Acquire) == 0 {
            return;
        }
        let wakers = state.append(event());
        drop(state);
        wake(wakers);
    }

    /// Ends the log: readers still get the events that are left in it.
    pub(in crate::server) fn close(&self) {
        let wakers = {
            let mut state = self.0.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        wake(wakers);
    }
}

impl Drop for EventSource {
    fn drop(&mut self) {
        self.close();
    }
}

/// The log that the writing end and the readers share.
#[derive(Default)]
pub(super) struct EventLog {
    readers: AtomicUsize,
    state: Mutex<LogState>,
}

#[derive(Default)]
struct LogState {
    events: VecDeque<ServerEvent>,
    /// The number of the first event that is still in the log.
    first: u64,
    closed: bool,
    next_reader: u64,
    /// Waiting readers, by their numbers. Their wakers are foreign code, which may use this very
    /// log, so they are cloned, woken and dropped while the lock is not held.
    waiting: Vec<(u64, Waker)>,
}

impl LogState {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Appends an event, and returns the readers to wake.
    fn append(&mut self, event: ServerEvent) -> Vec<(u64, Waker)> {
        if self.closed {
            return Vec::new();
        }
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
            self.first += 1;
        }
        self.events.push_back(event);
        std::mem::take(&mut self.waiting)
    }
}

impl LogState {
    /// Returns the next event at `position`; `None` once the log has ended.
    fn read(&self, position: &mut LogPosition) -> Poll<Option<ServerEvent>> {
        if let missed @ 1.. = self.first.saturating_sub(position.next) {
            position.next = self.first;
            return Poll::Ready(Some(ServerEvent::Missed(missed)));
        }
        let index = usize::try_from(position.next - self.first).unwrap_or(usize::MAX);
        if let Some(event) = self.events.get(index) {
            position.next += 1;
            return Poll::Ready(Some(event.clone()));
        }
        match self.closed {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }

    /// Removes a reader from the waiting ones, and returns its waker.
    fn forget(&mut self, reader: u64) -> Option<Waker> {
        let index = self.waiting.iter().position(|(id, _)| *id == reader)?;
        Some(self.waiting.swap_remove(index).1)
    }
}

/// A reader's position in the log.
pub(super) struct LogPosition {
    reader: u64,
    next: u64,
}

impl EventLog {
    /// Adds a reader that reads the events appended from now on.
    pub(super) fn subscribe(&self) -> LogPosition {
        let mut state = self.lock();
        self.readers.fetch_add(1, Ordering::Release);
        state.next_reader += 1;
        LogPosition {
            reader: state.next_reader,
            next: state.end(),
        }
    }

    pub(super) fn unsubscribe(&self, position: &LogPosition) {
        let mut state = self.lock();
        let forgotten = state.forget(position.reader);
        if self.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            state.first = state.end();
            state.events = VecDeque::new();
        }
        drop(state);
        drop(forgotten);
    }

    /// Returns the next event at `position`; `None` once the log has ended.
    pub(super) fn poll(
        &self,
        position: &mut LogPosition,
        cx: &mut Context<'_>,
    ) -> Poll<Option<ServerEvent>> {
        let read = self.lock().read(position);
        if read.is_ready() {
            return read;
        }
        let waker = cx.waker().clone();
        let mut state = self.lock();
        // An event may have been appended meanwhile.
        let read = state.read(position);
        let forgotten = state.forget(position.reader);
        if read.is_pending() {
            state.waiting.push((position.reader, waker));
        }
        drop(state);
        drop(forgotten);
        read
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waiting: Vec<(u64, Waker)>) {
    for (_, waker) in waiting {
        waker.wake();
    }
}
