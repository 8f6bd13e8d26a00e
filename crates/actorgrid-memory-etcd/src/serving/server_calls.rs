//! The services about the server itself.

use tonic::{Request, Response, Status};

use super::etcd_service::EtcdService;
use crate::calls;
use crate::faults::CallKind;
use crate::wire::auth_server::Auth;
use crate::wire::cluster_server::Cluster;
use crate::wire::maintenance_server::Maintenance;
use crate::wire::{
    AlarmRequest, AlarmResponse, AuthenticateRequest, AuthenticateResponse, MemberListRequest,
    MemberListResponse, StatusRequest, StatusResponse,
};

#[tonic::async_trait]
impl Cluster for EtcdService {
    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        self.call(CallKind::MemberList, request, |state, _, request| {
            Ok(calls::member_list(state, request))
        })
        .await
    }
}

#[tonic::async_trait]
impl Maintenance for EtcdService {
    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        self.call(CallKind::Alarm, request, |state, _, request| {
            Ok(calls::alarm(state, request))
        })
        .await
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        self.call(CallKind::Status, request, |state, _, request| {
            Ok(calls::status(state, request))
        })
        .await
    }
}

#[tonic::async_trait]
impl Auth for EtcdService {
    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        // An earlier token, which may be invalid, does not matter here.
        let request = request.into_inner();
        let answer = self.outcome(CallKind::Authenticate, request, |state, _, request| {
            calls::authenticate(state, request)
        });
        Ok(Response::new(answer.await?))
    }
}
