//! A watch on one server, on a stream of its own.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Streaming;

use super::endpoint::Endpoint;
use super::operation::plain;
use crate::wire::watch_request::RequestUnion;
use crate::wire::{Event, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};

/// How long etcd may take to answer a request for progress, before it is asked again: it ignores
/// the request while a watch catches up.
const PROGRESS_WAIT: Duration = Duration::from_millis(100);
/// How often it is asked.
const PROGRESS_TRIES: usize = 200;

/// All that a watch has delivered.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) created: WatchResponse,
    pub(super) events: Vec<Event>,
    /// The message with which it ended.
    pub(super) end: Option<WatchResponse>,
}

pub(super) struct ObservedWatch {
    requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
    pub(super) seen: Seen,
    start: i64,
    /// Whether the last message was a fragment that others follow.
    in_fragments: bool,
}

impl ObservedWatch {
    pub(super) async fn open(endpoint: &mut Endpoint, create: &WatchCreateRequest) -> Self {
        let (requests, mut queue) = mpsc::channel(16);
        let first = request(RequestUnion::CreateRequest(create.clone()));
        let rest = stream::poll_fn(move |cx| queue.poll_recv(cx));
        let sent = stream::iter([first]).chain(rest);
        let mut responses = endpoint.watch.watch(sent).await.unwrap().into_inner();
        let mut created = responses.message().await.unwrap().unwrap();
        plain(&mut created.header);
        let end = created.canceled.then(WatchResponse::default);
        Self {
            requests,
            responses,
            seen: Seen {
                created,
                events: Vec::new(),
                end,
            },
            start: create.start_revision,
            in_fragments: false,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.seen.end.is_some()
    }

    /// Reads until everything up to a revision has arrived, or the watch has ended.
    pub(super) async fn read_to(&mut self, revision: i64) {
        if self.start > revision {
            return;
        }
        for _ in 0..PROGRESS_TRIES {
            if self.has_ended() {
                return;
            }
            let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
            self.requests.send(request(progress)).await.unwrap();
            while let Ok(message) = timeout(PROGRESS_WAIT, self.responses.message()).await {
                let mut message = message.unwrap().unwrap();
                plain(&mut message.header);
                if self.take(message, revision) {
                    return;
                }
            }
        }
        panic!(
            "a watch from revision {} makes no progress to {revision}",
            self.start
        );
    }

    /// Takes a message. Returns true if it says that the revision is complete, or ends the watch.
    fn take(&mut self, message: WatchResponse, revision: i64) -> bool {
        if message.canceled {
            self.seen.end = Some(message);
            return true;
        }
        let header = message.header.as_ref().map_or(0, |header| header.revision);
        if message.events.is_empty() {
            assert_eq!(message.watch_id, -1, "{message:?}");
            return header >= revision;
        }
        let revision_of = |event: &Event| event.kv.as_ref().unwrap().mod_revision;
        let first = revision_of(&message.events[0]);
        let last = self.seen.events.last().map(revision_of);
        let grows = last.is_none_or(|last| last < first || (self.in_fragments && last == first));
        assert!(grows, "a revision is split: {message:?}");
        assert!(message.events.is_sorted_by_key(revision_of), "{message:?}");
        self.in_fragments = message.fragment;
        assert!(
            header >= message.events.last().map_or(0, revision_of),
            "{message:?}"
        );
        self.seen.events.extend(message.events);
        false
    }
}

pub(super) fn request(union: RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(union),
    }
}
