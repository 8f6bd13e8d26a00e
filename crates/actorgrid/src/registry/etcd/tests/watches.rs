//! Tests of watches that are torn, unread, restored or compacted.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use prost::Message;
use testbed::Proxy;

use super::faults::{TTL, claim, numbered};
use super::*;
use crate::client::{Client, WatchEvent};
use crate::registry::{Change, Kind, Selector, WatchStream, WatchUpdate, registration};
use crate::revision::Revision;
use crate::wire::etcd::event::EventType;
use crate::wire::etcd::{Event, KeyValue, StatusResponse, WatchResponse};

const CLUSTER: u64 = 7;

fn all() -> Selector {
    Selector::Prefix(String::new())
}

type Item<T> = Option<Result<T, RegistryErrorKind>>;

async fn next_update(watch: &mut WatchStream) -> Item<WatchUpdate> {
    let environment = Environment::real();
    let next = environment.timeout(Duration::from_secs(30), watch.next());
    let item = next.await.expect("the watch is silent")?;
    Some(item.map_err(|error| error.kind()))
}

pub(super) async fn next(watch: &mut WatchStream) -> Item<Vec<Change>> {
    loop {
        match next_update(watch).await? {
            Ok(WatchUpdate::CompleteTo(_)) => {}
            Ok(WatchUpdate::Changes(changes)) => return Some(Ok(changes)),
            Err(kind) => return Some(Err(kind)),
        }
    }
}

#[tokio::test]
async fn a_revision_that_was_torn_comes_whole_from_the_next_watch() {
    // The keys are long, so that each deletion is a long event.
    const KEYS: usize = 2_500;
    let server = EtcdServer::start();
    let proxy = Proxy::of(server.endpoint().parse().unwrap());
    let (direct, cut) = tokio::join!(server.connect(), async {
        connect(&proxy.address().to_string()).await
    });
    let lease = direct.grant(TTL).await.unwrap().id;
    let keys: Vec<String> = numbered(KEYS).iter().map(|key| key.repeat(300)).collect();
    for keys in keys.chunks(100) {
        claim(&direct, lease, keys, &Bytes::new()).await;
    }
    let other = direct.grant(TTL).await.unwrap().id;
    let from = direct.list("k").await.unwrap().revision.next();
    let mut watch = cut.watch(&all(), from).await.unwrap();
    claim(&direct, other, &["x".to_owned()], &Bytes::new()).await;
    assert_eq!(next(&mut watch).await.unwrap().unwrap().len(), 1);
    // The revision takes more than 4 MB, and only half of it arrives.
    proxy.cut_after(2_000_000);
    direct.revoke(lease).await.unwrap();
    let torn = next(&mut watch).await;
    assert_eq!(torn, Some(Err(RegistryErrorKind::Unavailable)));
    assert_eq!(next(&mut watch).await, None);
    let mut watch = cut.watch(&all(), from.next()).await.unwrap();
    let whole = next(&mut watch).await.unwrap().unwrap();
    let gone = whole.iter().map(Change::key);
    assert!(gone.eq(keys.iter()), "{} of {KEYS}", whole.len());
    assert!(whole.iter().all(|change| change.revision() == from.next()));
}

#[tokio::test]
async fn watches_that_nobody_reads_hold_up_nobody() {
    const WATCHES: usize = 80;
    let environment = Environment::real();
    let server = EtcdServer::start();
    let (unread, writer) = tokio::join!(server.connect(), server.connect());
    let lease = unread.grant(TTL).await.unwrap().id;
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        watches.push(unread.watch(&all(), Revision::new(1)).await.unwrap());
    }
    // For each watch, this exceeds the window of a stream.
    for key in numbered(3) {
        claim(&writer, lease, &[key], &Bytes::from(vec![7; 700_000])).await;
    }
    let sent = async || metric(&server, "etcd_network_client_grpc_sent_bytes_total").await;
    let mut before = 0;
    loop {
        let limit = Duration::from_millis(666);
        let renewed = environment.timeout(limit, unread.renew(lease));
        assert!(matches!(renewed.await, Some(Ok(_))), "{before} are sent");
        // Only our own renewals are sent now.
        let now = sent().await;
        if now > WATCHES * 1_000_000 && now - before < 10_000 {
            break;
        }
        before = now;
    }
    // A watch that is read again yields everything.
    let read = next(&mut watches[WATCHES / 2]).await.unwrap().unwrap();
    assert_eq!(read[0].key(), "k00000");
}

#[tokio::test]
async fn a_view_waits_for_an_etcd_that_was_restored_to_be_followed() {
    let mut server = EtcdServer::start();
    let etcd = Arc::new(server.connect().await);
    let lease = etcd.grant(TTL).await.unwrap().id;
    let register = async |etcd: &Etcd, lease, name: &str| {
        let key = format!("test.mailbox.{name}");
        let value = registration::write(&key, &"127.0.0.1:1".parse().unwrap(), &[], None, None);
        claim(etcd, lease, &[key], &value).await;
    };
    register(&etcd, lease, "a").await;
    server.kill();
    let kept = folder();
    std::fs::rename(&server.folder, &kept).unwrap();
    let mut copy = Command::new("cp");
    let copied = copy.arg("-r").args([&kept, &server.folder]).status();
    assert!(copied.unwrap().success());
    server.restart();
    server.connect().await;

    let registry = Registry::of(etcd.clone());
    let client = Client::new("test", registry.clone());
    let (now, mut changes) = client.watch(Kind::Mailbox).await.unwrap();
    assert_eq!(now.len(), 1);
    let next_event = async |changes: &mut crate::Watch| {
        let environment = Environment::real();
        let next = environment.timeout(Duration::from_secs(30), changes.next());
        match next.await.expect("the watch is silent") {
            WatchEvent::Appeared(one) => format!("+{}", one.name),
            WatchEvent::Disappeared(one) => format!("-{}", one.name),
            WatchEvent::HistoryLost => "lost".to_owned(),
            other => panic!("{other:?}"),
        }
    };
    for name in ["b", "c"] {
        register(&etcd, lease, name).await;
        assert_eq!(next_event(&mut changes).await, format!("+{name}"));
    }
    let known = etcd.list("").await.unwrap().revision;
    server.kill();
    std::fs::remove_dir_all(&server.folder).unwrap();
    std::fs::rename(&kept, &server.folder).unwrap();
    server.restart();
    let again = server.connect().await;

    let error = etcd.list("").await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Restored);
    // A process that connects now knows no earlier revision to compare.
    let ahead = again.watch(&all(), known.next()).await;
    assert_eq!(ahead.map(drop).unwrap_err().kind(), COMPACTED);
    let follow = || registry.follow_cluster(registry.cluster());
    let refused = follow().await.unwrap_err();
    assert_eq!(refused.kind(), RegistryErrorKind::Restored);
    let lease = again.grant(TTL).await.unwrap().id;
    for name in ["d", "e", "f"] {
        register(&again, lease, name).await;
    }
    assert!(again.list("").await.unwrap().revision > known);
    let error = etcd.list("").await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Restored);
    assert!(futures_util::FutureExt::now_or_never(changes.next()).is_none());
    follow().await.unwrap();
    for event in ["lost", "-b", "-c", "+d", "+e", "+f"] {
        assert_eq!(next_event(&mut changes).await, event);
    }
}

/// A fake etcd, and its scripted replies to watches.
#[derive(Default)]
struct ScriptedEtcd {
    watches: Mutex<VecDeque<Vec<WatchResponse>>>,
}

type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut frame).unwrap();
    frame.freeze()
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        cluster_id: CLUSTER,
        revision,
        ..ResponseHeader::default()
    })
}

impl ScriptedEtcd {
    /// Replies as far as these tests need, and then ends the stream.
    async fn answer(
        self: Arc<Self>,
        request: http::Request<Incoming>,
    ) -> Result<http::Response<ReplyBody>, Infallible> {
        let mut frames = Vec::new();
        if request.uri().path().ends_with("/Watch") {
            let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
            frames.extend(watches.pop_front().unwrap().iter().map(framed));
        } else {
            frames.push(framed(&StatusResponse {
                header: header(1),
                version: "3.6.0".to_owned(),
            }));
        }
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let frames = frames.into_iter().map(Frame::data);
        let frames = frames.chain([Frame::trailers(trailers)]).map(Ok);
        let body = StreamBody::new(stream::iter(frames.collect::<Vec<_>>()));
        let reply = http::Response::builder().header("content-type", "application/grpc");
        Ok(reply.body(body.boxed_unsync()).unwrap())
    }
}

/// Watches from a revision on, at an etcd that sends `script`. Returns how the watch opens, and
/// everything that it yields.
async fn watched(
    from: i64,
    script: Vec<WatchResponse>,
) -> Result<Vec<Result<Vec<Change>, RegistryErrorKind>>, RegistryErrorKind> {
    let environment = Environment::real();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let speaker = Arc::new(ScriptedEtcd {
        watches: Mutex::new([script].into()),
    });
    let serving = environment.clone();
    let served = environment.spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let speaker = speaker.clone();
            let service =
                hyper::service::service_fn(move |request| speaker.clone().answer(request));
            let tasks = Spawner(serving.clone());
            let server = hyper::server::conn::http2::Builder::new(tasks);
            drop(serving.spawn(server.serve_connection(TokioIo::new(socket), service)));
        }
    });
    let etcd = connect(&address.to_string()).await;
    let mut watch = etcd
        .watch(&all(), Revision::new(from))
        .await
        .map_err(|error| error.kind())?;
    let mut given = Vec::new();
    while let Some(item) = next(&mut watch).await {
        given.push(item);
    }
    served.abort();
    Ok(given)
}

fn created(revision: i64) -> WatchResponse {
    WatchResponse {
        header: header(revision),
        created: true,
        ..WatchResponse::default()
    }
}

/// Creates a message with deletions at these revisions.
fn deletions(revisions: &[i64], fragment: bool) -> WatchResponse {
    let deletion = |revision: &i64| Event {
        r#type: EventType::Delete.into(),
        kv: Some(KeyValue {
            key: "k".into(),
            mod_revision: *revision,
            ..KeyValue::default()
        }),
    };
    WatchResponse {
        header: header(100),
        fragment,
        events: revisions.iter().map(deletion).collect(),
        ..WatchResponse::default()
    }
}

fn cancelled(compact_revision: i64) -> WatchResponse {
    WatchResponse {
        header: header(100),
        canceled: true,
        compact_revision,
        ..WatchResponse::default()
    }
}

/// Returns the revisions that a watch yields, and how it ends.
async fn revisions(from: i64, script: Vec<WatchResponse>) -> (Vec<Vec<i64>>, RegistryErrorKind) {
    let mut given = watched(from, script).await.unwrap();
    let end = given.pop().unwrap().unwrap_err();
    let revisions = given.into_iter().map(|batch| {
        let batch = batch.unwrap();
        batch.iter().map(|change| change.revision().get()).collect()
    });
    (revisions.collect(), end)
}

const UNAVAILABLE: RegistryErrorKind = RegistryErrorKind::Unavailable;
const COMPACTED: RegistryErrorKind = RegistryErrorKind::Compacted;

#[tokio::test]
async fn history_that_is_gone_is_reported_at_once_or_on_the_stream() {
    let at_once = WatchResponse {
        created: true,
        ..cancelled(50)
    };
    assert_eq!(watched(11, vec![at_once]).await, Err(COMPACTED));
    for script in [
        vec![created(100), cancelled(50)],
        // etcd sends this to a watch that became too slow; an incomplete revision is not yielded.
        vec![created(100), deletions(&[11], true), cancelled(50)],
    ] {
        assert_eq!(revisions(11, script).await, (vec![], COMPACTED));
    }
}

#[tokio::test]
async fn a_watch_ahead_of_the_registry_fails_when_it_is_opened() {
    for (revision, outcome) in [
        (9, Err(COMPACTED)),
        (1, Err(COMPACTED)),
        (10, Ok(vec![Err(UNAVAILABLE)])),
        (100, Ok(vec![Err(UNAVAILABLE)])),
        // A proxy does not report the revision.
        (0, Ok(vec![Err(UNAVAILABLE)])),
    ] {
        let opened = watched(11, vec![created(revision)]).await;
        assert_eq!(opened, outcome, "{revision}");
    }
}

#[tokio::test]
async fn a_watch_gives_whole_revisions_once_each() {
    for (script, given) in [
        (vec![deletions(&[11, 11], false)], vec![vec![11, 11]]),
        // Complete revisions are yielded although more messages follow.
        (
            vec![
                deletions(&[11, 12], true),
                deletions(&[12], true),
                deletions(&[12, 13], false),
            ],
            vec![vec![11], vec![12, 12, 12, 13]],
        ),
        // The stream ends in the middle of a revision.
        (
            vec![deletions(&[11, 12], true), deletions(&[12], true)],
            vec![vec![11]],
        ),
        (vec![deletions(&[11, 11], true)], vec![]),
        // Revisions that were not requested, or were yielded before.
        (
            vec![deletions(&[9, 10, 11], false), deletions(&[11, 12], false)],
            vec![vec![11], vec![12]],
        ),
    ] {
        let script = [vec![created(100)], script].concat();
        let outcome = revisions(11, script.clone()).await;
        assert_eq!(outcome, (given, UNAVAILABLE), "{script:?}");
    }
}
