//! Opens watches on etcd.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status, Streaming};

use super::exchange::{AnswerSource, Cluster, Headed, MAX_MESSAGE_BYTES, Repetition};
use super::kv::{only, range_of};
use super::status::{self, Meaning};
use super::watch_feed::{FeedEnd, OpenedFeed, WatchFeed};
use crate::registry::{RegistryError, RegistryErrorKind, Selector, WatchStream, WatchUpdate};
use crate::revision::Revision;
use crate::wire::etcd::watch_client::WatchClient;
use crate::wire::etcd::watch_request::RequestUnion;
use crate::wire::etcd::{ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};

/// The capacity for requests on the stream of a watch: one request for progress.
const REQUEST_CAPACITY: usize = 1;

/// Makes etcd refuse or end the stream at a member without a leader, where nothing new would
/// arrive.
pub(super) fn require_leader<T>(request: &mut Request<T>) {
    let metadata = request.metadata_mut();
    metadata.insert("hasleader", MetadataValue::from_static("true"));
}

/// A watch that etcd has accepted.
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

/// Opens a watch on a separate stream. The watch is open when this returns.
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
        // Start at the previous revision, which has been reached: etcd (since 3.6.2, and since
        // equally recent releases of older series) ignores requests for progress while a watch is
        // ahead of its revision. 0 would mean from now on.
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
    // A watch from a revision that is never reached would be silent forever. If a restored registry
    // reaches that revision again, the watch would skip the changes before it. A header without a
    // revision comes from a proxy.
    let revision = opened.header().map_or(0, |header| header.revision);
    if (1..from.get().saturating_sub(1)).contains(&revision) {
        // Prefer another member, as this one may lag.
        cluster.endpoints.suspect(at.index);
        let text = format!("etcd has reached revision {revision}, but not {from} yet");
        return Err(RegistryError::new(RegistryErrorKind::Compacted, text));
    }
    let opened = OpenedFeed {
        responses: opened.responses,
        requests: opened.requests,
        // etcd's own proxy does not support requests for progress.
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
    // The stream of requests must stay open exactly as long as the watch: while it is open, HTTP/2
    // keeps the whole stream.
    let (requests, mut queue) = mpsc::channel(REQUEST_CAPACITY);
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
    let created = created.ok_or_else(|| Status::unavailable("etcd did not reply to the watch"))?;
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

/// The text with which etcd reports that a revision is gone.
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// Reads a status from the textual reason of a cancellation. The text includes the code, except (in
/// etcd 3.4) if the user lacks a permission.
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

/// An open watch. It does nothing unless it is polled for changes.
struct EtcdWatch {
    cluster: Arc<Cluster>,
    at: AnswerSource,
    feed: WatchFeed<Streaming<WatchResponse>>,
}

impl EtcdWatch {
    /// Returns the next whole revisions, or how far they are complete. Cancel safe: what has
    /// arrived is kept.
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
                let text = "the requested history of a watch is compacted";
                RegistryError::new(RegistryErrorKind::Compacted, text)
            }
            FeedEnd::Silent => {
                // The connection is probed separately; the member may have lost the watch.
                cluster.endpoints.suspect(index);
                let text = "a watch is silent: etcd does not confirm that it still exists";
                RegistryError::new(RegistryErrorKind::Unavailable, text)
            }
            FeedEnd::Overrun => {
                // This is not silence, and no sign of a faulty member.
                let text = "a watch was overrun by changes while etcd was asked for progress";
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
