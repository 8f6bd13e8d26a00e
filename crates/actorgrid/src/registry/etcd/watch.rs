//! Watches.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status, Streaming};

use super::exchange::{At, Cluster, Headed, MAX_MESSAGE_BYTES, Repetition};
use super::kv::{only, range_of};
use super::status::{self, Meaning};
use super::watch_feed::{FeedEnd, OpenedFeed, WatchFeed};
use crate::registry::{RegistryError, RegistryErrorKind, Selector, WatchStream, WatchUpdate};
use crate::revision::Revision;
use crate::wire::etcd::watch_client::WatchClient;
use crate::wire::etcd::watch_request::RequestUnion;
use crate::wire::etcd::{ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};

/// Requests of one stream that wait for their turn: one for progress.
const REQUESTS: usize = 1;

/// Lets etcd refuse, or end, a stream at a member that has lost its leader: it would hear of
/// nothing there.
pub(super) fn require_leader<T>(request: &mut Request<T>) {
    let metadata = request.metadata_mut();
    metadata.insert("hasleader", MetadataValue::from_static("true"));
}

/// A watch that etcd has taken.
struct OpenedWatch {
    created: WatchResponse,
    responses: Streaming<WatchResponse>,
    requests: mpsc::Sender<WatchRequest>,
}

impl Headed for OpenedWatch {
    fn header(&self) -> Option<&ResponseHeader> {
        self.created.header.as_ref()
    }
}

impl Headed for WatchResponse {
    fn header(&self) -> Option<&ResponseHeader> {
        self.header.as_ref()
    }
}

/// Opens a watch on a stream of its own. It is open when this returns.
pub(super) async fn open(
    cluster: &Arc<Cluster>,
    selector: &Selector,
    from: Revision,
) -> Result<WatchStream, RegistryError> {
    let (key, range_end) = match selector {
        Selector::Key(key) => only(key),
        Selector::Prefix(prefix) => range_of(prefix),
    };
    let create = WatchCreateRequest {
        key,
        range_end,
        // The revision before, which has come: etcd (since 3.6.2, and since as late in older series)
        // answers no question for progress while a watch is ahead of it. 0 would mean from now on.
        start_revision: from.get().saturating_sub(1).max(1),
        progress_notify: true,
        fragment: true,
    };
    let opened = cluster.exchange_at(Repetition::Read, &create, |transport, origin, request| {
        let opening: BoxFuture<'static, _> = Box::pin(async move {
            let client = WatchClient::with_origin(transport, origin);
            create_watch(client.max_decoding_message_size(MAX_MESSAGE_BYTES), request).await
        });
        opening
    });
    let (opened, at) = opened.await.map_err(|failure| failure.error)?;
    // A watch from a revision that is never reached would be silent for ever, and one that is
    // reached again by a registry that was restored would skip what came before. Where the header
    // says nothing it is a proxy's.
    let revision = opened.header().map_or(0, |header| header.revision);
    if (1..from.get().saturating_sub(1)).contains(&revision) {
        // A member that lags is not the one to ask.
        cluster.endpoints.suspect(at.index);
        let text = format!("etcd has come to revision {revision}, not yet to {from}");
        return Err(RegistryError::new(RegistryErrorKind::Compacted, text));
    }
    let opened = OpenedFeed {
        responses: opened.responses,
        requests: opened.requests,
        // A proxy of etcd's own knows no such question.
        answers: revision > 0,
        ordered: at.connection.orders_progress(),
        id: opened.created.watch_id,
        from,
    };
    let feed = WatchFeed::new(cluster.endpoints.environment(), opened);
    let cluster = Arc::clone(cluster);
    let watch = EtcdWatch { cluster, at, feed };
    Ok(Box::pin(stream::unfold(Some(watch), |watch| async move {
        let mut watch = watch?;
        let update = watch.update().await;
        let rest = update.is_ok().then_some(watch);
        Some((update, rest))
    })))
}

async fn create_watch(
    mut client: WatchClient<super::transport::EtcdTransport>,
    request: Request<WatchCreateRequest>,
) -> Result<OpenedWatch, Status> {
    // The stream of requests must stay open as long as the watch, and not longer: while it does,
    // HTTP/2 keeps the whole stream.
    let (requests, mut queue) = mpsc::channel(REQUESTS);
    let mut request = request.map(|create| {
        let create = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        let rest = stream::poll_fn(move |cx| queue.poll_recv(cx));
        stream::iter([create]).chain(rest)
    });
    require_leader(&mut request);
    let mut responses = client.watch(request).await?.into_inner();
    let created = responses.message().await?;
    let created = created.ok_or_else(|| Status::unavailable("the watch was not answered"))?;
    if created.canceled && created.compact_revision == 0 {
        return Err(cancelled(&created.cancel_reason));
    }
    if created.canceled {
        return Err(Status::out_of_range(COMPACTED));
    }
    if !created.created {
        return Err(Status::internal("the watch was not created"));
    }
    Ok(OpenedWatch {
        created,
        responses,
        requests,
    })
}

/// How etcd itself says that a revision is gone.
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// Reads the status from the reason of a cancellation, where it is text: with the code, or (3.4,
/// for whatever the user may not do) alone.
fn cancelled(reason: &str) -> Status {
    let text = reason
        .rsplit_once("desc = ")
        .map_or(reason, |(_, text)| text);
    let code = match text {
        "etcdserver: permission denied" => Code::PermissionDenied,
        "etcdserver: invalid auth token" => Code::Unauthenticated,
        "etcdserver: user name is empty" | "etcdserver: revision of auth store is old" => {
            Code::InvalidArgument
        }
        _ => Code::Unavailable,
    };
    Status::new(code, text)
}

/// An open watch. It does nothing unless it is asked for changes.
struct EtcdWatch {
    cluster: Arc<Cluster>,
    at: At,
    feed: WatchFeed<Streaming<WatchResponse>>,
}

impl EtcdWatch {
    /// The next revisions, whole, or how far they are complete. Cancel safe: what came stays.
    async fn update(&mut self) -> Result<WatchUpdate, RegistryError> {
        let (cluster, index) = (&self.cluster, self.at.index);
        let check = |response: &WatchResponse| cluster.verify(index, response);
        let end = match self.feed.update(check).await {
            Ok(update) => return Ok(update),
            Err(end) => end,
        };
        Err(match end {
            FeedEnd::Broken(status) => self.broken(&status),
            FeedEnd::Cancelled(reason) => self.broken(&cancelled(&reason)),
            FeedEnd::Compacted => {
                let text = "the history that a watch asked for is compacted";
                RegistryError::new(RegistryErrorKind::Compacted, text)
            }
            FeedEnd::Silent => {
                // Its connection is probed by itself; the member may have lost the watch.
                cluster.endpoints.suspect(index);
                let text = "a watch is silent: etcd does not say whether it is still there";
                RegistryError::new(RegistryErrorKind::Unavailable, text)
            }
            FeedEnd::Overrun => {
                // It is no silence, and speaks against no member.
                let text = "a watch got more changes than it holds back while etcd is asked";
                RegistryError::new(RegistryErrorKind::Unavailable, text)
            }
            FeedEnd::Refused(error) => error,
        })
    }

    fn broken(&self, status: &Status) -> RegistryError {
        let meaning = status::meaning(status);
        self.cluster
            .blame(self.at.index, &self.at.connection, &meaning);
        let error = match meaning {
            Meaning::NotSent | Meaning::Broken | Meaning::Unsettled => RegistryError::new(
                RegistryErrorKind::Unavailable,
                format!("a watch broke: {}", status.message()),
            ),
            meaning => status::error(&meaning, status.message()),
        };
        error.caused_by(status.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_reason_of_a_cancellation() {
        let permission = Meaning::Refused(RegistryErrorKind::Auth);
        for (reason, meaning) in [
            ("etcdserver: permission denied", permission.clone()),
            (
                "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
                permission,
            ),
            (
                "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
                Meaning::Token,
            ),
            ("etcdserver: no leader", Meaning::Unsettled),
            ("", Meaning::Unsettled),
        ] {
            assert_eq!(status::meaning(&cancelled(reason)), meaning, "{reason}");
        }
    }
}
