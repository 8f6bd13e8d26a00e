//! Detects that a cluster has gone back to an earlier revision.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio_util::sync::CancellationToken;

use crate::registry::RegistryError;
use crate::token::ClusterId;
use crate::wire::etcd::request_op::Request;
use crate::wire::etcd::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
    RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
};

/// A request to etcd that states whether the revision in the header of its reply is up to date.
///
/// Only then does an earlier revision than before mean that the cluster was restored: other
/// requests are answered by lagging members, too.
pub(super) trait Dated {
    fn is_linearizable(&self) -> bool {
        false
    }
}

impl Dated for RangeRequest {
    fn is_linearizable(&self) -> bool {
        is_linearizable_range(self)
    }
}

impl Dated for TxnRequest {
    /// etcd carries out a transaction linearizably if it changes something, or if one of its reads
    /// is linearizable.
    fn is_linearizable(&self) -> bool {
        let operations = self.success.iter().chain(&self.failure);
        let is_linearizable = |operation: &RequestOp| match &operation.request {
            Some(Request::RequestRange(range)) => is_linearizable_range(range),
            Some(_) => true,
            None => false,
        };
        operations.into_iter().any(is_linearizable)
    }
}

// Lists every field, so that a new field that affects linearizability must be considered here.
fn is_linearizable_range(range: &RangeRequest) -> bool {
    let RangeRequest {
        key: _,
        range_end: _,
        limit: _,
        revision: _,
        serializable,
    } = range;
    !serializable
}

// These go through the leader or the log, but report the revision that the member has reached.
impl Dated for LeaseGrantRequest {}
impl Dated for LeaseKeepAliveRequest {}
impl Dated for LeaseRevokeRequest {}
impl Dated for LeaseTimeToLiveRequest {}
impl Dated for WatchCreateRequest {}

/// The revisions that a cluster has reported, shared by all connections of a handle.
#[derive(Debug)]
pub(super) struct History {
    /// The greatest revision so far.
    greatest: AtomicI64,
    restored: CancellationToken,
}

impl History {
    /// Creates the history of a cluster that has reported revisions up to this one.
    pub(super) fn new(greatest: i64) -> Self {
        Self {
            greatest: AtomicI64::new(greatest),
            restored: CancellationToken::new(),
        }
    }

    pub(super) fn greatest(&self) -> i64 {
        self.greatest.load(Ordering::Acquire)
    }

    /// Returns a token that is cancelled once the cluster has gone back.
    pub(super) fn restored(&self) -> &CancellationToken {
        &self.restored
    }

    /// Fails if the cluster has ever gone back, even if it has since advanced further than before.
    pub(super) fn check(&self) -> Result<(), RegistryError> {
        if self.restored.is_cancelled() {
            let text = "etcd was restored to an earlier revision, so earlier names and tokens \
                        have no meaning there: restart the processes of the grid";
            return Err(RegistryError::restored(text));
        }
        Ok(())
    }

    /// Records a revision that the cluster has reported. Zero means none: a proxy replied.
    pub(super) fn reported(&self, revision: i64) {
        self.greatest.fetch_max(revision, Ordering::AcqRel);
    }

    /// Compares the revision of a reply, which was up to date when it was made, with the
    /// [greatest](Self::greatest) revision known before the request was sent.
    pub(super) fn answered(&self, known: i64, revision: i64) -> Result<(), RegistryError> {
        if (1..known).contains(&revision) {
            self.restored.cancel();
            tracing::error!(known, revision, "etcd has gone back to an earlier revision");
        }
        self.check()
    }
}

/// The histories of all clusters that a handle on etcd has used, including the current one: a
/// cluster that is left and followed again may have gone back meanwhile. There is one for each time
/// that an operator has followed a cluster, so there are few.
#[derive(Clone)]
pub(super) struct Histories(Vec<(ClusterId, Arc<History>)>);

impl Histories {
    /// Creates the histories of a handle that has just connected.
    pub(super) fn new(id: ClusterId, first: Arc<History>) -> Self {
        Self(vec![(id, first)])
    }

    /// Returns the greatest revision that this cluster has ever reported, or zero.
    pub(super) fn greatest(&self, id: ClusterId) -> i64 {
        let of_it = self.0.iter().filter(|(cluster, _)| *cluster == id);
        let greatest = of_it.map(|(_, history)| history.greatest());
        greatest.max().unwrap_or(0)
    }

    /// Returns the histories with one more.
    pub(super) fn and(&self, id: ClusterId, history: Arc<History>) -> Self {
        let mut all = self.clone();
        all.0.push((id, history));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::RegistryErrorKind;

    #[test]
    fn a_cluster_that_went_back_stays_restored() {
        let history = History::new(0);
        for revision in [5, 9, 7, 0] {
            history.reported(revision);
        }
        assert_eq!(history.greatest(), 9);
        // Includes a reply to a request that was sent before 9 was known, and one without a
        // revision.
        for (known, revision) in [(7, 7), (7, 9), (9, 9), (9, 10), (9, 0)] {
            assert_eq!(history.answered(known, revision), Ok(()));
        }
        assert!(!history.restored().is_cancelled());
        let error = history.answered(9, 8).unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Restored);
        assert!(history.restored().is_cancelled());
        history.reported(20);
        assert!(history.check().is_err() && history.answered(20, 20).is_err());
    }

    #[test]
    fn a_cluster_is_remembered_over_another_one() {
        let of_one_at = |revision| Arc::new(History::new(revision));
        let first = of_one_at(5);
        let histories = Histories::new(ClusterId(1), Arc::clone(&first));
        let histories = histories.and(ClusterId(2), of_one_at(3));
        let histories = histories.and(ClusterId(1), of_one_at(7));
        // An earlier exchange is answered late.
        first.reported(9);
        let greatest = [1, 2, 3].map(|id| histories.greatest(ClusterId(id)));
        assert_eq!(greatest, [9, 3, 0]);
    }

    #[test]
    fn a_request_is_dated_if_any_part_of_it_is() {
        let op = |request| RequestOp {
            request: Some(request),
        };
        let range = op(Request::RequestRange(RangeRequest::default()));
        let peek = op(Request::RequestRange(RangeRequest {
            serializable: true,
            ..RangeRequest::default()
        }));
        let txn = |success, failure| TxnRequest {
            compare: vec![],
            success,
            failure,
        };
        // etcd answers this without consulting other members.
        assert!(!txn(vec![], vec![]).is_linearizable());
        assert!(!txn(vec![peek.clone()], vec![]).is_linearizable());
        assert!(txn(vec![peek, range.clone()], vec![]).is_linearizable());
        assert!(txn(vec![range.clone()], vec![]).is_linearizable());
        assert!(txn(vec![], vec![range]).is_linearizable());
        assert!(!LeaseKeepAliveRequest::default().is_linearizable());
    }
}
