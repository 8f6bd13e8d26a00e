//! The checks that all gRPC services share, and the choice of the service by path.

use std::sync::Arc;

use h2::RecvStream;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use tonic::Status;

use super::answers::{Answered, failed, http_error};
use super::health::HealthService;
use super::process::ProcessService;
use super::served_connection::ServedConnection;
use crate::error::{RequestError, RequestErrorKind};
use crate::route::codec::frame::PROCESS_PATH;
use crate::route::codec::health::{CHECK_PATH, WATCH_PATH};
use crate::route::codec::{metadata, status};
use crate::route::link::serving::LinkService;

/// The memory of each request in flight, apart from its headers and its message: its stream and its
/// place in a queue.
const STREAM_BYTES: usize = 4 * 1024;
/// How much of an unknown path is repeated in the error.
const MAX_SHOWN_CHARS: usize = 100;

/// All services on the port of a peer.
pub(super) struct GridService {
    pub(super) process: ProcessService,
    pub(super) health: HealthService,
    /// For connections that are links; none if there are to be none.
    pub(super) link: Option<Arc<LinkService>>,
}

impl GridService {
    /// Makes the checks that all gRPC services share, then chooses the service by path.
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
        if encoding.is_some_and(|encoding| encoding != "identity") {
            let text = "grpc: Decompressor is not installed for the grpc-encoding of the request";
            return failed(&Status::unimplemented(text)).into();
        }
        if parts.uri.path() == CHECK_PATH {
            // Health is reported no matter how full a peer is.
            drop(parts);
            return self.health.check(body, time, connection).await.into();
        }
        let Ok(_charge) = connection.under_way.charge(bytes_of(&parts.headers)) else {
            connection.counters.no_room.increment();
            return failed(&status::of_error(&too_many())).into();
        };
        match parts.uri.path() {
            PROCESS_PATH => {
                self.process
                    .answer(parts.headers, time, body, connection)
                    .await
            }
            WATCH_PATH => {
                drop(parts);
                self.health.watch(body, time, connection).await.into()
            }
            path => {
                let path = path.trim_start_matches('/');
                let path: String = path.chars().take(MAX_SHOWN_CHARS).collect();
                failed(&Status::unimplemented(format!(
                    "unknown service or method {path:?}"
                )))
                .into()
            }
        }
    }
}

/// Returns the bytes that a request occupies until its response, apart from its message.
fn bytes_of(headers: &HeaderMap) -> usize {
    let bytes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    STREAM_BYTES + bytes.sum::<usize>()
}

fn too_many() -> RequestError {
    RequestError::refused(
        RequestErrorKind::Busy,
        "the peer has no room for more requests (max_received_bytes)",
    )
}
