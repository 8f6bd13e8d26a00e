//! Watches.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status, Streaming};

use super::exchange::{At, Cluster, Headed, MAX_MESSAGE_BYTES, Repetition};
use super::kv::{only, range_of};
use super::status::{self, Meaning};
use super::txn;
use crate::registry::{Change, RegistryError, RegistryErrorKind, Selector, WatchStream};
use crate::revision::Revision;
use crate::wire::etcd::event::EventType;
use crate::wire::etcd::watch_client::WatchClient;
use crate::wire::etcd::watch_request::RequestUnion;
use crate::wire::etcd::{Event, ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};

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
    close: DropGuard,
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
        // 0 would mean from now on.
        start_revision: from.get().max(1),
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
    let watch = EtcdWatch {
        cluster: Arc::clone(cluster),
        at,
        responses: opened.responses,
        _close: opened.close,
        changes: Vec::new(),
        next: from,
    };
    Ok(Box::pin(stream::unfold(Some(watch), |watch| async move {
        let mut watch = watch?;
        let changes = watch.changes().await;
        let rest = changes.is_ok().then_some(watch);
        Some((changes, rest))
    })))
}

async fn create_watch(
    mut client: WatchClient<super::transport::EtcdTransport>,
    request: Request<WatchCreateRequest>,
) -> Result<OpenedWatch, Status> {
    // The stream of requests must stay open as long as the watch, and not longer: while it does,
    // HTTP/2 keeps the whole stream.
    let closed = CancellationToken::new();
    let close = closed.clone().drop_guard();
    let mut request = request.map(|create| {
        let create = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        let open = stream::pending().take_until(closed.cancelled_owned());
        stream::iter([create]).chain(open)
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
        close,
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
    responses: Streaming<WatchResponse>,
    _close: DropGuard,
    /// The changes so far of a revision that is not complete. One message at a time goes through
    /// here, so this is one revision at the most.
    changes: Vec<Change>,
    /// No change before this revision is passed on.
    next: Revision,
}

impl EtcdWatch {
    /// The next revisions, whole. Cancel safe: what came stays.
    async fn changes(&mut self) -> Result<Vec<Change>, RegistryError> {
        loop {
            let response = match self.responses.message().await {
                Ok(Some(response)) => response,
                Ok(None) => return Err(self.broken(&Status::unavailable("the watch ended"))),
                Err(status) => return Err(self.broken(&status)),
            };
            self.cluster.verify(self.at.index, &response)?;
            if response.compact_revision > 0 {
                let text = "the history that a watch asked for is compacted";
                return Err(RegistryError::new(RegistryErrorKind::Compacted, text));
            }
            if response.canceled {
                return Err(self.broken(&cancelled(&response.cancel_reason)));
            }
            let fragment = response.fragment;
            let changes = response.events.into_iter().filter_map(change);
            let next = self.next;
            self.changes
                .extend(changes.filter(|change| change.revision() >= next));
            let whole = take_whole(&mut self.changes, fragment);
            if let Some(last) = whole.last() {
                self.next = last.revision().next();
                return Ok(whole);
            }
        }
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

/// Takes the revisions that are complete: where a message is not the last of what etcd sends
/// together, its last revision may go on in the next.
fn take_whole(changes: &mut Vec<Change>, goes_on: bool) -> Vec<Change> {
    let torn = changes.last().filter(|_| goes_on).map(Change::revision);
    let torn = torn.map_or(changes.len(), |torn| {
        changes.partition_point(|change| change.revision() < torn)
    });
    let rest = changes.split_off(torn);
    std::mem::replace(changes, rest)
}

fn change(event: Event) -> Option<Change> {
    let deleted = event.r#type() == EventType::Delete;
    let kv = event.kv?;
    if deleted {
        return Some(Change::Deleted {
            revision: Revision::new(kv.mod_revision),
            key: txn::text(kv.key)?,
        });
    }
    txn::entry(kv).map(Change::Put)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deleted(revisions: &[i64]) -> Vec<Change> {
        let deleted = |(number, revision): (usize, &i64)| Change::Deleted {
            key: number.to_string(),
            revision: Revision::new(*revision),
        };
        revisions.iter().enumerate().map(deleted).collect()
    }

    #[test]
    fn a_revision_is_taken_when_all_of_it_has_come() {
        for (revisions, goes_on, whole) in [
            (&[][..], false, 0),
            (&[], true, 0),
            (&[1], false, 1),
            (&[1], true, 0),
            (&[1, 1, 1], true, 0),
            (&[1, 1, 2, 3, 3], true, 3),
            (&[1, 1, 2, 3, 3], false, 5),
        ] {
            let mut changes = deleted(revisions);
            let all = changes.clone();
            let taken = take_whole(&mut changes, goes_on);
            assert_eq!(taken, all[..whole], "{revisions:?} {goes_on}");
            assert_eq!(changes, all[whole..], "{revisions:?} {goes_on}");
        }
    }

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
