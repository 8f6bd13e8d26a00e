//! The checks that every gRPC service makes, and the choice of the service by its path.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming as HttpBody;
use tonic::Status;

use super::answers::{failed, http_error};
use super::health::HealthService;
use super::process::ProcessService;
use crate::environment::Environment;
use crate::route::caller::Caller;
use crate::route::codec::frame::PROCESS_PATH;
use crate::route::codec::health::{CHECK_PATH, WATCH_PATH};
use crate::route::codec::{Outgoing, metadata};

/// All services on the port of a peer.
pub(super) struct GridService {
    pub(super) environment: Environment,
    pub(super) process: ProcessService,
    pub(super) health: HealthService,
}

impl GridService {
    /// The checks that every gRPC service makes, then the service by its path.
    pub(super) async fn answer(
        &self,
        request: Request<HttpBody>,
        caller: Caller,
    ) -> Response<Outgoing> {
        if request.method() != Method::POST {
            let mut response = http_error(StatusCode::METHOD_NOT_ALLOWED);
            let headers = response.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let content_type = request.headers().get(CONTENT_TYPE);
        if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
            return http_error(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let (parts, body) = request.into_parts();
        let capabilities = metadata::capabilities(&parts.headers);
        let encoding = parts.headers.get("grpc-encoding").cloned();
        let Ok(time) = metadata::time(&parts.headers) else {
            return http_error(StatusCode::BAD_REQUEST);
        };
        if let Some(encoding) = encoding.filter(|encoding| encoding != "identity") {
            return failed(&Status::unimplemented(format!(
                "grpc: Decompressor is not installed for grpc-encoding {encoding:?}"
            )));
        }
        match parts.uri.path() {
            PROCESS_PATH => {
                let meta = metadata::read(parts.headers, time, caller, &self.environment);
                self.process.answer(meta, body, capabilities).await
            }
            CHECK_PATH => self.health.check(body, time).await,
            WATCH_PATH => self.health.watch(body, time).await,
            path => failed(&Status::unimplemented(format!(
                "unknown service or method {:?}",
                path.trim_start_matches('/')
            ))),
        }
    }
}
