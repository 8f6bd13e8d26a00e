//! The service for keys.

use tonic::{Request, Response, Status};

use super::etcd_service::EtcdService;
use crate::calls;
use crate::faults::CallKind;
use crate::wire::kv_server::Kv;
use crate::wire::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};

#[tonic::async_trait]
impl Kv for EtcdService {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        self.call(CallKind::Range, request, |state, _, request| {
            calls::range(state, request)
        })
        .await
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.call(CallKind::Put, request, |state, _, request| {
            calls::put(state, request)
        })
        .await
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        self.call(CallKind::DeleteRange, request, |state, _, request| {
            calls::delete_range(state, request)
        })
        .await
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        self.call(CallKind::Txn, request, |state, _, request| {
            calls::txn(state, request)
        })
        .await
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        self.call(CallKind::Compact, request, |state, _, request| {
            calls::compact(state, request)
        })
        .await
    }
}
