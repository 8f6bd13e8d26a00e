//! Notices a cluster that has gone back to an earlier revision.

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

/// A request to etcd, by whether the revision in the header of its answer is up to date.
///
/// Only then does an earlier one than before mean that the cluster was restored: a member that lags
/// answers the others, too.
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
    /// etcd reads linearizably what it does not only read, and what one of its reads needs so.
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

// Named one by one: a field that lets etcd read otherwise must be looked at here.
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

// They go through the leader or the log, but say the revision that the member has come to.
impl Dated for LeaseGrantRequest {}
impl Dated for LeaseKeepAliveRequest {}
impl Dated for LeaseRevokeRequest {}
impl Dated for LeaseTimeToLiveRequest {}
impl Dated for WatchCreateRequest {}

/// The revisions that a cluster has reported. Shared by all connections of a handle.
#[derive(Debug)]
pub(super) struct History {
    /// The greatest so far.
    greatest: AtomicI64,
    restored: CancellationToken,
}

impl History {
    /// Of a cluster that has reported revisions up to this one.
    pub(super) fn new(greatest: i64) -> Self {
        Self {
            greatest: AtomicI64::new(greatest),
            restored: CancellationToken::new(),
        }
    }

    pub(super) fn greatest(&self) -> i64 {
        self.greatest.load(Ordering::Acquire)
    }

    /// Cancelled once the cluster has gone back.
    pub(super) fn restored(&self) -> &CancellationToken {
        &self.restored
    }

    /// Fails if the cluster has gone back: also when it has come further than before since then.
    pub(super) fn check(&self) -> Result<(), RegistryError> {
        if self.restored.is_cancelled() {
            let text = "etcd was restored to an earlier revision, so names and tokens of before \
                        mean nothing there: restart the processes of the grid";
            return Err(RegistryError::restored(text));
        }
        Ok(())
    }

    /// Takes in a revision that the cluster has reported. Zero is none: a proxy answered.
    pub(super) fn reported(&self, revision: i64) {
        self.greatest.fetch_max(revision, Ordering::AcqRel);
    }

    /// Compares the revision of an answer, which was up to date when it was given, with the
    /// [greatest](Self::greatest) that was known before the request was sent.
    pub(super) fn answered(&self, known: i64, revision: i64) -> Result<(), RegistryError> {
        if (1..known).contains(&revision) {
            self.restored.cancel();
            tracing::error!(known, revision, "etcd has gone back to an earlier revision");
        }
        self.check()
    }
}

/// The histories of all clusters that a handle on etcd has used, the present one included: a cluster
/// that is left and followed again may have gone back meanwhile. There is one for each time that
/// an operator has followed a cluster, so few.
#[derive(Clone)]
pub(super) struct Histories(Vec<(ClusterId, Arc<History>)>);

impl Histories {
    /// Of a handle that has just connected.
    pub(super) fn new(id: ClusterId, first: Arc<History>) -> Self {
        Self(vec![(id, first)])
    }

    /// The greatest revision that this cluster has ever reported, or zero.
    pub(super) fn greatest(&self, id: ClusterId) -> i64 {
        let of_it = self.0.iter().filter(|(cluster, _)| *cluster == id);
        let greatest = of_it.map(|(_, history)| history.greatest());
        greatest.max().unwrap_or(0)
    }

    /// With one more.
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
    fn a_cluster_goes_back_once_and_for_all() {
        let history = History::new(0);
        for revision in [5, 9, 7, 0] {
            history.reported(revision);
        }
        assert_eq!(history.greatest(), 9);
        // One that was sent before 9 was known, and one whose revision is not given.
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
        // An exchange of before is answered late.
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
        // etcd answers this one without asking anybody.
        assert!(!txn(vec![], vec![]).is_linearizable());
        assert!(!txn(vec![peek.clone()], vec![]).is_linearizable());
        assert!(txn(vec![peek, range.clone()], vec![]).is_linearizable());
        assert!(txn(vec![range.clone()], vec![]).is_linearizable());
        assert!(txn(vec![], vec![range]).is_linearizable());
        assert!(!LeaseKeepAliveRequest::default().is_linearizable());
    }
}
