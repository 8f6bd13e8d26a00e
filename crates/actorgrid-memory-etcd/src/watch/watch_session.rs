//! The watches of one stream: requests in, responses out. Pure.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::one_watch::OneWatch;
use crate::error::EtcdError;
use crate::faults::{CallFault, CallKind};
use crate::state::EtcdState;
use crate::wire::watch_request::RequestUnion;
use crate::wire::{WatchCreateRequest, WatchRequest, WatchResponse};

/// The id of no watch, in replies that concern all watches of a stream or none.
const NO_WATCH: i64 = -1;

/// The watches of one stream.
#[derive(Debug, Default)]
pub(crate) struct WatchSession {
    watches: BTreeMap<i64, OneWatch>,
    next_id: i64,
    /// How many requests for progress wait for an answer.
    asked: usize,
    /// The watch that has delivered last.
    served: i64,
}

impl WatchSession {
    /// Takes a request; returns what to answer before anything else.
    pub(crate) fn request(
        &mut self,
        state: &mut EtcdState,
        now: Duration,
        token: Option<&str>,
        request: WatchRequest,
    ) -> Vec<WatchResponse> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                let fault = state.faults.next(CallKind::Watch);
                if is_lost(fault) {
                    return Vec::new();
                }
                let created = self.create(state, now, token, &create);
                let is_answered = fault != Some(CallFault::LoseReply);
                created.filter(|_| is_answered).into_iter().collect()
            }
            Some(RequestUnion::CancelRequest(cancel)) => {
                if self.watches.remove(&cancel.watch_id).is_none() {
                    return Vec::new();
                }
                state.watches -= 1;
                vec![WatchResponse {
                    header: Some(state.header()),
                    watch_id: cancel.watch_id,
                    canceled: true,
                    ..WatchResponse::default()
                }]
            }
            Some(RequestUnion::ProgressRequest(_)) => {
                let fault = state.faults.next(CallKind::Progress);
                let is_answered = !is_lost(fault) && fault != Some(CallFault::LoseReply);
                self.asked += usize::from(is_answered);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Returns the next messages of one watch, of each in turn, or none if there is nothing to send
    /// now. Call again until there are none.
    pub(crate) fn messages(&mut self, state: &mut EtcdState, now: Duration) -> Vec<WatchResponse> {
        let later = (Bound::Excluded(self.served), Bound::Unbounded);
        let later = self.watches.range(later).map(|(id, _)| *id);
        let others = self.watches.range(..=self.served).map(|(id, _)| *id);
        let turns: Vec<i64> = later.chain(others).collect();
        for id in turns {
            let watch = self.watches.get_mut(&id);
            let messages = watch.map(|watch| watch.messages(state, now, id));
            if let Some(messages) = messages.filter(|messages| !messages.is_empty()) {
                self.served = id;
                return messages;
            }
        }
        self.answer_progress(state)
    }

    /// Answers a request for progress, once there is nothing else to send. Like etcd, ignores it
    /// unless all watches are complete.
    fn answer_progress(&mut self, state: &EtcdState) -> Vec<WatchResponse> {
        let is_complete = |watch: &OneWatch| watch.is_complete(&state.store);
        if self.watches.is_empty() || !self.watches.values().all(is_complete) {
            self.asked = 0;
        }
        if self.asked == 0 {
            return Vec::new();
        }
        self.asked -= 1;
        vec![WatchResponse {
            header: Some(state.header()),
            watch_id: NO_WATCH,
            ..WatchResponse::default()
        }]
    }

    /// Returns when to look again without a change.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.watches.values().filter_map(OneWatch::due).min()
    }

    /// Ends the watches with their stream.
    pub(crate) fn end(&mut self, state: &mut EtcdState) {
        state.watches -= self.watches.len();
        self.watches.clear();
    }

    fn create(
        &mut self,
        state: &mut EtcdState,
        now: Duration,
        token: Option<&str>,
        create: &WatchCreateRequest,
    ) -> Option<WatchResponse> {
        let made = self.make(state, now, token, create);
        let (id, cancel_reason) = match made {
            Ok(id) => (id, String::new()),
            Err(reason) => (NO_WATCH, reason),
        };
        Some(WatchResponse {
            header: Some(state.header()),
            watch_id: id,
            created: true,
            canceled: id == NO_WATCH,
            cancel_reason,
            ..WatchResponse::default()
        })
    }

    /// Adds a watch and returns its id, or why it is refused.
    fn make(
        &mut self,
        state: &mut EtcdState,
        now: Duration,
        token: Option<&str>,
        create: &WatchCreateRequest,
    ) -> Result<i64, String> {
        if create.start_revision < 0 {
            return Err(EtcdError::Compacted.text().to_owned());
        }
        let checked = state.access.check(token);
        checked.map_err(EtcdError::cancel_reason)?;
        if state.watches >= state.bounds.max_watches {
            return Err(EtcdError::TooManyRequests.cancel_reason());
        }
        let watch = OneWatch::new(&state.store, now, create);
        let watch = watch.map_err(|_| "mvcc: watcher range is empty".to_owned())?;
        let id = match create.watch_id {
            0 => self.free_id(),
            id if self.watches.contains_key(&id) => {
                return Err("mvcc: duplicate watch ID provided on the WatchStream".to_owned());
            }
            id => id,
        };
        self.watches.insert(id, watch);
        state.watches += 1;
        Ok(id)
    }

    fn free_id(&mut self) -> i64 {
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }
}

fn is_lost(fault: Option<CallFault>) -> bool {
    matches!(
        fault,
        Some(CallFault::LoseRequest | CallFault::FailRequest | CallFault::ArriveLate(_))
    )
}
