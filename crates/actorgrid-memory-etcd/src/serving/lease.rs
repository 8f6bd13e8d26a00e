//! The service for leases.

use std::pin::Pin;

use futures_core::Stream;
use futures_util::stream;
use tonic::{Request, Response, Status, Streaming};

use super::etcd_service::{EtcdService, token_of};
use crate::calls;
use crate::faults::CallKind;
use crate::wire::lease_server::Lease;
use crate::wire::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

#[tonic::async_trait]
impl Lease for EtcdService {
    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        self.call(CallKind::Grant, request, calls::grant).await
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.call(CallKind::Revoke, request, |state, _, request| {
            calls::revoke(state, request)
        })
        .await
    }

    /// Answers each renewal before it reads the next one, and ends with the requests.
    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let token = token_of(request.metadata());
        let requests = request.into_inner();
        let start = (self.clone(), token, requests);
        let answers = stream::unfold(start, |(service, token, mut requests)| async move {
            let request = match requests.message().await {
                Ok(request) => request?,
                Err(status) => return Some((Err(status), (service, token, requests))),
            };
            let shown = token.clone();
            let renewing =
                service.outcome(CallKind::KeepAlive, request, move |state, now, request| {
                    state.access.check(shown.as_deref())?;
                    Ok(calls::keep_alive(state, now, request))
                });
            let answer = renewing.await.map_err(Status::from);
            Some((answer, (service, token, requests)))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        self.call(CallKind::TimeToLive, request, |state, now, request| {
            Ok(calls::time_to_live(state, now, request))
        })
        .await
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.call(CallKind::Leases, request, |state, _, request| {
            Ok(calls::leases(state, request))
        })
        .await
    }
}
