//! One step of a history, and its outcome without what may differ.

use futures_util::stream;
use tonic::{Code, Status};

use super::endpoint::Endpoint;
use crate::wire::response_op::Response;
use crate::wire::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse,
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader,
    TxnRequest, TxnResponse,
};

/// A call without a stream.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Range(RangeRequest),
    Put(PutRequest),
    DeleteRange(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
    Grant(LeaseGrantRequest),
    Revoke(LeaseRevokeRequest),
    KeepAlive(LeaseKeepAliveRequest),
    TimeToLive(LeaseTimeToLiveRequest),
    Leases,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    Range(RangeResponse),
    Put(PutResponse),
    DeleteRange(DeleteRangeResponse),
    Txn(TxnResponse),
    Compact(CompactionResponse),
    Grant(LeaseGrantResponse),
    Revoke(LeaseRevokeResponse),
    KeepAlive(LeaseKeepAliveResponse),
    TimeToLive(LeaseTimeToLiveResponse),
    /// The leases, sorted.
    Leases(Vec<i64>),
}

/// The comparable parts of an answer.
pub(super) type CallOutcome = Result<Reply, (Code, String)>;

impl Operation {
    pub(super) async fn run(&self, endpoint: &mut Endpoint) -> CallOutcome {
        let sent = self.send(endpoint).await;
        sent.map_err(|status| (status.code(), status.message().to_owned()))
    }

    async fn send(&self, at: &mut Endpoint) -> Result<Reply, Status> {
        Ok(match self.clone() {
            Self::Range(request) => {
                let mut reply = at.kv.range(request).await?.into_inner();
                plain(&mut reply.header);
                Reply::Range(reply)
            }
            Self::Put(request) => {
                let mut reply = at.kv.put(request).await?.into_inner();
                plain(&mut reply.header);
                Reply::Put(reply)
            }
            Self::DeleteRange(request) => {
                let mut reply = at.kv.delete_range(request).await?.into_inner();
                plain(&mut reply.header);
                Reply::DeleteRange(reply)
            }
            Self::Txn(request) => {
                let mut reply = at.kv.txn(request).await?.into_inner();
                plain_txn(&mut reply);
                Reply::Txn(reply)
            }
            Self::Compact(request) => {
                let mut reply = at.kv.compact(request).await?.into_inner();
                plain(&mut reply.header);
                Reply::Compact(reply)
            }
            Self::Grant(request) => {
                let mut reply = at.lease.lease_grant(request).await?.into_inner();
                plain(&mut reply.header);
                Reply::Grant(reply)
            }
            Self::Revoke(request) => {
                let mut reply = at.lease.lease_revoke(request).await?.into_inner();
                plain(&mut reply.header);
                Reply::Revoke(reply)
            }
            Self::KeepAlive(request) => {
                let renewals = stream::iter([request]);
                let mut replies = at.lease.lease_keep_alive(renewals).await?.into_inner();
                let mut reply = replies.message().await?.unwrap();
                plain(&mut reply.header);
                Reply::KeepAlive(reply)
            }
            Self::TimeToLive(request) => {
                let mut reply = at.lease.lease_time_to_live(request).await?.into_inner();
                plain(&mut reply.header);
                reply.keys.sort();
                // The time left depends on the speed of the test.
                if reply.ttl > 0 {
                    reply.ttl = reply.granted_ttl;
                }
                Reply::TimeToLive(reply)
            }
            Self::Leases => {
                let reply = at.lease.lease_leases(LeaseLeasesRequest {}).await?;
                let leases = reply.into_inner().leases.into_iter();
                let mut leases: Vec<i64> = leases.map(|lease| lease.id).collect();
                leases.sort_unstable();
                Reply::Leases(leases)
            }
        })
    }
}

/// Keeps only the revision of a header.
pub(super) fn plain(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        *header = ResponseHeader {
            revision: header.revision,
            ..ResponseHeader::default()
        };
    }
}

fn plain_txn(reply: &mut TxnResponse) {
    plain(&mut reply.header);
    for response in &mut reply.responses {
        if let Some(Response::ResponseTxn(reply)) = &mut response.response {
            plain_txn(reply);
        }
    }
}
