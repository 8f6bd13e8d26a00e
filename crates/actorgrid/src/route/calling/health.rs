//! A client of the standard gRPC health service of other peers: ours, or those on grpc-go.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming as HttpBody;
use prost::Message as _;
use tonic::{Code, Status};

use super::connection::{CallGuard, Connection};
use super::process_route::{ProcessRoute, Sent, check_is_grpc, lost, send, unexpected};
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::route::codec::frame::frame_message;
use crate::route::codec::health::{CHECK_PATH, MAX_HEALTH_BYTES, WATCH_PATH};
use crate::route::codec::{Outgoing, ReadError, Reader, metadata, status};
use crate::wire::health::health_check_response::ServingStatus;
use crate::wire::health::{HealthCheckRequest, HealthCheckResponse};

impl ProcessRoute {
    /// Asks the peer for its current status. Returns [`ServingStatus::ServiceUnknown`] if the peer
    /// has no health service.
    ///
    /// The caller bounds the time: the deadline is only sent to the peer. A check changes nothing,
    /// so it is sent a second time if the connection breaks: that connection may have been broken
    /// before, unnoticed.
    pub(crate) async fn check_health(
        &self,
        deadline: Deadline,
    ) -> Result<ServingStatus, RequestError> {
        match self.check_once(deadline).await {
            Err(error) if error.kind() == RequestErrorKind::ConnectionLost => {
                self.check_once(deadline).await
            }
            answer => answer,
        }
    }

    async fn check_once(&self, deadline: Deadline) -> Result<ServingStatus, RequestError> {
        let mut answer = self.health(CHECK_PATH, Some(deadline)).await?;
        let Some(status) = answer.one().await? else {
            return Err(unexpected("the answer holds no reply"));
        };
        match answer.one().await? {
            None => Ok(status),
            Some(_) => Err(unexpected("the answer holds more than one reply")),
        }
    }

    /// Watches the status and its changes. The caller bounds the time until the first status.
    pub(crate) async fn watch_health(&self) -> Result<HealthStream, RequestError> {
        self.health(WATCH_PATH, None).await
    }

    async fn health(
        &self,
        path: &'static str,
        deadline: Option<Deadline>,
    ) -> Result<HealthStream, RequestError> {
        // As with calls: if nothing was sent, try once more, over a new connection.
        let mut tries = 2;
        loop {
            tries -= 1;
            let connection = self.peer.connection().await?;
            let request = self.health_request(path, deadline.map(|by| by.remaining()));
            let guard = CallGuard::begin(Arc::clone(&connection));
            match send(&connection, request).await {
                Ok(Sent::Answered(response)) => {
                    return HealthStream::new(self.clone(), response, guard);
                }
                Ok(Sent::Never(_)) if tries > 0 => guard.end(),
                Ok(Sent::Never(error)) | Err(error) => {
                    guard.end();
                    return Err(self.lost_or_closed(error));
                }
            }
        }
    }

    fn health_request(&self, path: &'static str, time: Option<Duration>) -> Request<Outgoing> {
        let message = frame_message(&HealthCheckRequest::default());
        let mut request = Request::new(Outgoing::request(message));
        *request.method_mut() = Method::POST;
        let mut uri = self.peer.uri.clone().into_parts();
        uri.path_and_query = Some(PathAndQuery::from_static(path));
        // A valid URI stays valid with another path.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        metadata::put_basics(request.headers_mut(), time);
        request
    }
}

/// The health statuses that a peer reports, until it ends the stream.
pub(crate) struct HealthStream {
    route: ProcessRoute,
    /// `None` once the stream has ended.
    reader: Option<Reader<HttpBody>>,
    /// A status, or the end of the stream, that was read ahead.
    ahead: Option<Result<Option<ServingStatus>, RequestError>>,
    /// `None` once the stream has ended.
    guard: Option<CallGuard<Arc<Connection>>>,
}

impl HealthStream {
    fn new(
        route: ProcessRoute,
        response: Response<HttpBody>,
        guard: CallGuard<Arc<Connection>>,
    ) -> Result<Self, RequestError> {
        let (mut parts, body) = response.into_parts();
        let mut stream = Self {
            route,
            reader: None,
            ahead: None,
            guard: Some(guard),
        };
        if let Some(status) = status::of_headers(&mut parts.headers) {
            stream.ended();
            stream.ahead = Some(end_of_stream(&status));
            return Ok(stream);
        }
        check_is_grpc(&parts)?;
        stream.reader = Some(Reader::new(body, MAX_HEALTH_BYTES));
        Ok(stream)
    }

    fn ended(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.end();
        }
    }

    /// Returns the next status: the newest one that has arrived. `None` means that the stream has
    /// ended: without an error, or with one that was returned before. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<ServingStatus>, RequestError> {
        let mut newest = self.one().await?;
        while newest.is_some() {
            match self.one().now_or_never() {
                Some(Ok(Some(newer))) => newest = Some(newer),
                Some(end) => {
                    self.ahead = Some(end);
                    break;
                }
                None => break,
            }
        }
        Ok(newest)
    }

    /// Returns the next status, without skipping any. Cancel safe.
    async fn one(&mut self) -> Result<Option<ServingStatus>, RequestError> {
        if let Some(ahead) = self.ahead.take() {
            return ahead;
        }
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        let read = match reader.next().await {
            Ok(Some(message)) => {
                return HealthCheckResponse::decode(message)
                    .map(|response| Some(response.status()))
                    .map_err(|_| unexpected("the answer is not a health status"));
            }
            Ok(None) => reader.trailers().await,
            Err(error) => Err(error),
        };
        self.reader = None;
        self.ended();
        let mut trailers: HeaderMap = read
            .map_err(|error| self.route.lost_or_closed(unreadable(error)))?
            .unwrap_or_default();
        match status::of_headers(&mut trailers) {
            Some(status) => end_of_stream(&status),
            None => Err(self.route.lost_or_closed(unreadable(ReadError::Cut))),
        }
    }
}

/// Converts the status that ends a stream. `None` means that the stream ended without an error.
fn end_of_stream(status: &Status) -> Result<Option<ServingStatus>, RequestError> {
    let kind = match status.code() {
        Code::Ok => return Ok(None),
        // The peer has no health service, or the service has no status for the peer as a whole.
        Code::Unimplemented | Code::NotFound => return Ok(Some(ServingStatus::ServiceUnknown)),
        Code::DeadlineExceeded => RequestErrorKind::DeadlineExceeded,
        Code::Unavailable => RequestErrorKind::Unreachable,
        _ => RequestErrorKind::Unknown,
    };
    let text = format!(
        "the peer answered with code {} instead of its health: {}",
        status.code() as i32,
        status.message()
    );
    Err(RequestError::new(kind, Executed::No, text))
}

fn unreadable(error: ReadError<hyper::Error>) -> RequestError {
    match error {
        ReadError::Body(error) => lost(error, Executed::Maybe),
        ReadError::Missing | ReadError::Cut => RequestError::new(
            RequestErrorKind::ConnectionLost,
            Executed::Maybe,
            "the answer broke off",
        ),
        ReadError::TooLarge(_) | ReadError::Compressed | ReadError::Trailing => {
            unexpected("the answer is not a health status")
        }
    }
}
