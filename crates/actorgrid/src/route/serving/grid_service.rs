//! The checks that every gRPC service makes, and the choice of the service by its path.

use h2::RecvStream;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use tonic::Status;

use super::answers::{Answered, failed, http_error};
use super::health::HealthService;
use super::process::ProcessService;
use super::served_connection::ServedConnection;
use crate::route::codec::frame::PROCESS_PATH;
use crate::route::codec::health::{CHECK_PATH, WATCH_PATH};
use crate::route::codec::metadata;

/// All services on the port of a peer.
pub(super) struct GridService {
    pub(super) process: ProcessService,
    pub(super) health: HealthService,
}

impl GridService {
    /// The checks that every gRPC service makes, then the service by its path.
    pub(super) async fn answer(
        &self,
        request: Request<RecvStream>,
        connection: &ServedConnection,
    ) -> Answered {
        if request.method() != Method::POST {
            let mut response = http_error(StatusCode::METHOD_NOT_ALLOWED);
            let headers = response.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
            return response.into();
        }
        let content_type = request.headers().get(CONTENT_TYPE);
        if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
            return http_error(StatusCode::UNSUPPORTED_MEDIA_TYPE).into();
        }
        let (parts, body) = request.into_parts();
        let Ok(time) = metadata::time(&parts.headers) else {
            return http_error(StatusCode::BAD_REQUEST).into();
        };
        let encoding = parts.headers.get("grpc-encoding");
        if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
            let status = Status::unimplemented(format!(
                "grpc: Decompressor is not installed for grpc-encoding {encoding:?}"
            ));
            return failed(&status).into();
        }
        match parts.uri.path() {
            PROCESS_PATH => {
                self.process
                    .answer(parts.headers, time, body, connection)
                    .await
            }
            CHECK_PATH => self.health.check(body, time, connection).await.into(),
            WATCH_PATH => self.health.watch(body, time, connection).await.into(),
            path => {
                let path = path.trim_start_matches('/');
                failed(&Status::unimplemented(format!(
                    "unknown service or method {path:?}"
                )))
                .into()
            }
        }
    }
}
