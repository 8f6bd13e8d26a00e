//! Brings a request to its service.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service as _;

use super::etcd_service::EtcdService;
use crate::bounds::Bounds;
use crate::etcd_core::EtcdCore;
use crate::wire::auth_server::AuthServer;
use crate::wire::cluster_server::ClusterServer;
use crate::wire::kv_server::KvServer;
use crate::wire::lease_server::LeaseServer;
use crate::wire::maintenance_server::MaintenanceServer;
use crate::wire::watch_server::WatchServer;

/// The services of etcd.
pub(super) struct Router {
    service: EtcdService,
    max_message_bytes: usize,
}

impl Router {
    pub(super) fn new(core: &Arc<EtcdCore>, bounds: &Bounds) -> Self {
        Self {
            service: EtcdService::new(Arc::clone(core)),
            max_message_bytes: bounds.max_message_bytes(),
        }
    }
}

impl hyper::service::Service<http::Request<Incoming>> for Router {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let service = self.service.clone();
        let bytes = self.max_message_bytes;
        match request.uri().path().split('/').nth(1) {
            Some("etcdserverpb.KV") => KvServer::new(service)
                .max_decoding_message_size(bytes)
                .call(request),
            Some("etcdserverpb.Watch") => WatchServer::new(service)
                .max_decoding_message_size(bytes)
                .call(request),
            Some("etcdserverpb.Lease") => LeaseServer::new(service).call(request),
            Some("etcdserverpb.Cluster") => ClusterServer::new(service).call(request),
            Some("etcdserverpb.Maintenance") => MaintenanceServer::new(service).call(request),
            Some("etcdserverpb.Auth") => AuthServer::new(service).call(request),
            _ => {
                let status = Status::unimplemented("unknown service");
                Box::pin(ready(Ok(status.into_http())))
            }
        }
    }
}
