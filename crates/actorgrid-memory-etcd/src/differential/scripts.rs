//! Histories that are written out: what random ones do not reach.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Streaming;

use super::endpoint::Endpoint;
use super::observed_watch::request;
use super::operation::{Operation, Reply, plain};
use super::pair::Pair;
use crate::wire::request_op::Request;
use crate::wire::watch_request::RequestUnion;
use crate::wire::{
    DeleteRangeRequest, LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest,
    WatchRequest, WatchResponse,
};

fn put(key: &'static str, value: impl Into<Bytes>, lease: i64) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        lease,
        ..PutRequest::default()
    }
}

fn everything() -> WatchCreateRequest {
    WatchCreateRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        start_revision: 1,
        ..WatchCreateRequest::default()
    }
}

/// How long an answer may take, and how soon the next one follows it.
const PATIENCE: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_millis(50);

/// Reads so many messages from each server, which must be alike. The order of messages to different
/// watches may differ.
async fn compare(streams: &mut [OpenStream; 2], count: usize, context: &str) {
    let [memory, real] = streams;
    let by_watch = |mut messages: Vec<WatchResponse>| {
        messages.sort_by_key(|message| message.watch_id);
        messages
    };
    let (found, expected) = (memory.read(count).await, real.read(count).await);
    assert_eq!(expected.len(), count, "{context}: {expected:#?}");
    assert_eq!(
        by_watch(found),
        by_watch(expected),
        "{context} (memory, etcd)"
    );
}

/// A stream of watches on one server.
struct OpenStream {
    requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
}

impl OpenStream {
    async fn open(endpoint: &mut Endpoint, first: WatchRequest) -> Self {
        let (requests, mut queue) = mpsc::channel(64);
        let rest = stream::poll_fn(move |cx| queue.poll_recv(cx));
        let sent = stream::iter([first]).chain(rest);
        let responses = endpoint.watch.watch(sent).await.unwrap().into_inner();
        Self {
            requests,
            responses,
        }
    }

    async fn send(&self, union: RequestUnion) {
        self.requests.send(request(union)).await.unwrap();
    }

    /// Returns the next messages: so many, and those that arrive soon after the previous one.
    async fn read(&mut self, count: usize) -> Vec<WatchResponse> {
        let mut read = Vec::new();
        loop {
            let wait = if read.len() < count { PATIENCE } else { SOON };
            let Ok(message) = timeout(wait, self.responses.message()).await else {
                return read;
            };
            let mut message = message.unwrap().unwrap();
            plain(&mut message.header);
            read.push(message);
        }
    }
}

#[tokio::test]
async fn the_watches_of_one_stream_agree() {
    let mut pair = Pair::start().await;
    for value in ["1", "2"] {
        pair.run(&Operation::Put(put("a", value, 0)), "before")
            .await;
    }
    let watch = |key: &'static str, end: &'static str, start_revision, watch_id| {
        RequestUnion::CreateRequest(WatchCreateRequest {
            key: key.into(),
            range_end: end.into(),
            start_revision,
            watch_id,
            prev_kv: true,
            ..WatchCreateRequest::default()
        })
    };
    let first = request(watch("a", "", 2, 0));
    let memory = OpenStream::open(&mut pair.memory, first.clone()).await;
    let mut streams = [memory, OpenStream::open(&mut pair.real, first).await];
    // The reply, and both changes in one message.
    compare(&mut streams, 2, "first").await;
    let script = [
        (1, watch("b", "", 0, 0)),
        // An id of the client's choice, twice, which the server's own numbers then skip.
        (1, watch("c", "", 0, 2)),
        (1, watch("c", "", 0, 2)),
        (1, watch("d", "", 0, 0)),
        // Ranges without keys.
        (1, watch("b", "a", 0, 0)),
        (1, watch("b", "b", 0, 0)),
        // No key, and from the future.
        (1, watch("", "", 0, 0)),
        (1, watch("a", "\0", 5, 9)),
        (
            1,
            RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 1 }),
        ),
        (
            0,
            RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 77 }),
        ),
        // The watch from the future is ahead, so this is ignored.
        (0, RequestUnion::ProgressRequest(WatchProgressRequest {})),
    ];
    for (step, (count, union)) in script.into_iter().enumerate() {
        for stream in &streams {
            stream.send(union.clone()).await;
        }
        compare(&mut streams, count, &format!("step {step}")).await;
    }
    for (count, key) in [(1, "a"), (1, "b"), (2, "c"), (2, "d")] {
        pair.run(&Operation::Put(put(key, "3", 0)), key).await;
        compare(&mut streams, count, key).await;
    }
    let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
    for stream in &streams {
        stream.send(progress.clone()).await;
    }
    compare(&mut streams, 1, "progress").await;
}

#[tokio::test]
async fn large_revisions_are_fragmented_alike() {
    let mut pair = Pair::start().await;
    let value = |size: usize| Bytes::from(vec![b'v'; size]);
    // The history is several times as large as a message.
    for _ in 0..8 {
        pair.run(&Operation::Put(put("a", value(600_000), 0)), "large")
            .await;
    }
    let create = WatchCreateRequest {
        fragment: true,
        ..everything()
    };
    let first = request(RequestUnion::CreateRequest(create));
    let memory = OpenStream::open(&mut pair.memory, first.clone()).await;
    let mut streams = [memory, OpenStream::open(&mut pair.real, first).await];
    // The reply, and three messages for the eight changes.
    compare(&mut streams, 1 + 3, "fragments").await;
    // One byte too large, about.
    let fits = 1024 * 1024 * 3 / 2 - 64;
    for size in [fits, fits + 128] {
        pair.run(&Operation::Put(put("a", value(size), 0)), "limit")
            .await;
    }
}

#[tokio::test]
async fn leases_that_end_agree() {
    let mut pair = Pair::start().await;
    // Too short a time to live is raised.
    let grant = |id, ttl| Operation::Grant(LeaseGrantRequest { ttl, id });
    for (id, ttl) in [(1, 2), (2, -5), (3, 600)] {
        pair.run(&grant(id, ttl), "grant").await;
    }
    for (key, lease) in [("a", 1), ("b", 1), ("c", 3)] {
        pair.run(&Operation::Put(put(key, "", lease)), key).await;
    }
    let mut watch = pair.watch(&everything()).await;
    let all = Operation::Range(RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        count_only: true,
        ..RangeRequest::default()
    });
    let ended = async |endpoint: &mut Endpoint| {
        loop {
            match all.run(endpoint).await.unwrap() {
                Reply::Range(reply) if reply.count == 1 => return,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let both = async {
        ended(&mut pair.real).await;
        ended(&mut pair.memory).await;
    };
    timeout(Duration::from_secs(30), both).await.unwrap();
    pair.run(&all, "after").await;
    watch.compare(5, "after").await;
    for id in [1, 3] {
        let query = LeaseTimeToLiveRequest { id, keys: true };
        pair.run(&Operation::TimeToLive(query), "after").await;
    }
    assert_eq!(pair.server.revision(), 5);
}

#[tokio::test]
async fn the_width_of_transactions_agrees() {
    let mut pair = Pair::start().await;
    let op = |request| RequestOp {
        request: Some(request),
    };
    let reads = |count: usize| -> Vec<RequestOp> {
        let range = RangeRequest {
            key: Bytes::from_static(b"a"),
            ..RangeRequest::default()
        };
        (0..count)
            .map(|_| op(Request::RequestRange(range.clone())))
            .collect()
    };
    let txn = |success: Vec<RequestOp>, failure: Vec<RequestOp>| TxnRequest {
        compare: Vec::new(),
        success,
        failure,
    };
    let nested = |txn| op(Request::RequestTxn(txn));
    let deletion = |end: &'static str| {
        op(Request::RequestDeleteRange(DeleteRangeRequest {
            key: Bytes::from_static(b"a"),
            range_end: end.into(),
            prev_kv: true,
        }))
    };
    let put = || op(Request::RequestPut(put("b", "", 0)));
    for request in [
        txn(reads(128), Vec::new()),
        txn(reads(129), Vec::new()),
        txn(reads(1), reads(129)),
        txn(vec![nested(txn(reads(127), Vec::new()))], Vec::new()),
        txn(vec![nested(txn(reads(128), Vec::new()))], Vec::new()),
        txn(vec![put(), put()], Vec::new()),
        txn(vec![put()], vec![put()]),
        txn(
            vec![put(), nested(txn(vec![put()], Vec::new()))],
            Vec::new(),
        ),
        txn(vec![nested(txn(vec![put()], vec![put()]))], Vec::new()),
        txn(vec![deletion("c"), put()], Vec::new()),
        txn(vec![deletion("b"), put()], Vec::new()),
        txn(
            vec![
                nested(txn(vec![put()], vec![])),
                nested(txn(vec![deletion("c")], vec![])),
            ],
            vec![],
        ),
        txn(
            vec![
                nested(txn(vec![deletion("c")], vec![])),
                nested(txn(vec![put()], vec![])),
            ],
            vec![],
        ),
        txn(Vec::new(), Vec::new()),
    ] {
        pair.run(&Operation::Txn(request), "width").await;
    }
}
