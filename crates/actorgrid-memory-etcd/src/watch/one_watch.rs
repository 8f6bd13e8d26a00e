//! One watch, and the changes that it has not delivered yet.

use std::time::Duration;

use super::fragments::fragments;
use crate::state::EtcdState;
use crate::store::{KeyRange, Store, is_creation, revision_of};
use crate::wire::event::EventType;
use crate::wire::watch_create_request::FilterType;
use crate::wire::{Event, WatchCreateRequest, WatchResponse};

/// How many revisions a watch delivers in one message while it catches up, as in etcd.
const CATCH_UP_REVISIONS: usize = 1_000;
/// How often a watch without changes reports its progress, if it was asked to: etcd's default.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(600);

/// A watch of a stream.
#[derive(Debug)]
pub(super) struct OneWatch {
    range: KeyRange,
    /// The first revision to deliver.
    start: i64,
    /// All changes before this revision were delivered.
    next: i64,
    /// Whether the changes that existed when the watch was created are still being delivered.
    catches_up: bool,
    prev_kv: bool,
    fragment: bool,
    filters: Vec<i32>,
    /// When it last delivered something, if it reports its progress.
    quiet_since: Option<Duration>,
    /// Whether its history is gone. It then delivers nothing more, but exists until it is
    /// cancelled.
    compacted: bool,
}

impl OneWatch {
    pub(super) fn new(
        store: &Store,
        now: Duration,
        create: &WatchCreateRequest,
    ) -> Result<Self, EmptyRange> {
        let zero = bytes::Bytes::from_static(b"\0");
        let key = if create.key.is_empty() {
            &zero
        } else {
            &create.key
        };
        let range = KeyRange::new(key, &create.range_end);
        if range.is_empty() {
            return Err(EmptyRange);
        }
        let current = store.revision();
        let is_past = create.start_revision != 0 && create.start_revision <= current;
        let next = match create.start_revision {
            0 => current + 1,
            start => start,
        };
        Ok(Self {
            range,
            start: create.start_revision,
            next,
            catches_up: is_past,
            prev_kv: create.prev_kv,
            fragment: create.fragment,
            filters: create.filters.clone(),
            quiet_since: create.progress_notify.then_some(now),
            compacted: false,
        })
    }

    /// Whether the watch has delivered everything, so that a report of its progress is true.
    pub(super) fn is_complete(&self, store: &Store) -> bool {
        !self.compacted && self.start <= store.revision() && self.next > store.revision()
    }

    /// Returns the next message, in fragments if it is large, or none if there is nothing to
    /// deliver now.
    pub(super) fn messages(
        &mut self,
        state: &mut EtcdState,
        now: Duration,
        id: i64,
    ) -> Vec<WatchResponse> {
        let current = state.store.revision();
        if self.compacted {
            return Vec::new();
        }
        if self.next < state.store.compacted() && self.next <= current {
            self.compacted = true;
            return vec![WatchResponse {
                header: Some(state.header_at(0)),
                watch_id: id,
                canceled: true,
                compact_revision: state.store.compacted(),
                ..WatchResponse::default()
            }];
        }
        loop {
            let (events, revision) = self.take(&state.store);
            if events.is_empty() {
                return self.progress(state, now, id);
            }
            self.quiet_since = self.quiet_since.map(|_| now);
            if state.faults.swallows_message() {
                continue;
            }
            let whole = WatchResponse {
                header: Some(state.header_at(revision)),
                watch_id: id,
                events,
                ..WatchResponse::default()
            };
            return match self.fragment {
                true => fragments(whole, state.bounds.max_message_bytes()),
                false => vec![whole],
            };
        }
    }

    /// Returns when to look again without a change.
    pub(super) fn due(&self) -> Option<Duration> {
        self.quiet_since.map(|since| since + PROGRESS_INTERVAL)
    }

    /// Takes the changes of the next message: those of many revisions while the watch catches up,
    /// and those of one revision afterwards. Returns the revision of the message.
    fn take(&mut self, store: &Store) -> (Vec<Event>, i64) {
        let mut limit = if self.catches_up {
            CATCH_UP_REVISIONS
        } else {
            1
        };
        let mut events: Vec<Event> = Vec::new();
        let mut last = None;
        for event in store.changes(self.next) {
            let revision = revision_of(event);
            if last != Some(revision) && !events.is_empty() {
                if limit == 1 {
                    break;
                }
                limit -= 1;
            }
            last = Some(revision);
            self.next = revision + 1;
            if self.selects(event) {
                events.push(self.delivered(store, event));
            }
        }
        let current = store.revision();
        if events.is_empty() {
            self.next = self.next.max(current + 1);
        }
        let revision = match (self.catches_up, events.last()) {
            (false, Some(event)) => revision_of(event),
            _ => current,
        };
        self.catches_up &= self.next <= current;
        (events, revision)
    }

    fn selects(&self, event: &Event) -> bool {
        let filter = match event.r#type() {
            EventType::Put => FilterType::Noput,
            EventType::Delete => FilterType::Nodelete,
        };
        let key = event.kv.as_ref().map(|kv| &kv.key[..]);
        !self.filters.contains(&filter.into()) && key.is_some_and(|key| self.range.contains(key))
    }

    fn delivered(&self, store: &Store, event: &Event) -> Event {
        let mut event = event.clone();
        if self.prev_kv
            && !is_creation(&event)
            && let Some(kv) = &event.kv
        {
            event.prev_kv = store.get_at(&kv.key, kv.mod_revision - 1).cloned();
        }
        event
    }

    fn progress(&mut self, state: &EtcdState, now: Duration, id: i64) -> Vec<WatchResponse> {
        if self.due().is_none_or(|due| now < due) || !self.is_complete(&state.store) {
            return Vec::new();
        }
        self.quiet_since = Some(now);
        vec![WatchResponse {
            header: Some(state.header()),
            watch_id: id,
            ..WatchResponse::default()
        }]
    }
}

/// A watch was asked for on a range that contains no key.
#[derive(Debug)]
pub(super) struct EmptyRange;
