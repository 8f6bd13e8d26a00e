//! The responses of services, and the statuses of requests that cannot be read.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tonic::{Code, Status};

use super::message_reader::Unreadable;
use crate::environment::Deadline;
use crate::error::{RequestError, RequestErrorKind};
use crate::route::budget::Charge;
use crate::route::codec::frame::Framed;
use crate::route::codec::{Outgoing, status};

/// A response, and the limits that apply while it is sent.
pub(super) struct Answered {
    pub(super) response: Response<Outgoing>,
    /// The charge of its message.
    pub(super) charge: Option<Charge>,
    /// The response is abandoned if the client has not received it by then.
    pub(super) until: Option<Deadline>,
}

impl From<Response<Outgoing>> for Answered {
    fn from(response: Response<Outgoing>) -> Self {
        Self {
            response,
            charge: None,
            until: None,
        }
    }
}

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

pub(super) fn http_error(status: StatusCode) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::default());
    *response.status_mut() = status;
    response
}

pub(super) fn failed(status: &Status) -> Response<Outgoing> {
    let mut response = answer(Outgoing::default());
    put_status(status, response.headers_mut());
    response
}

pub(super) fn replied(message: Framed) -> Response<Outgoing> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    answer(Outgoing::reply(message, trailers))
}

/// Returns the response of a gRPC method.
pub(super) fn answer(body: Outgoing) -> Response<Outgoing> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    put_status(status, &mut trailers);
    trailers
}

fn put_status(status: &Status, headers: &mut HeaderMap) {
    if status.add_header(headers).is_err() {
        // Cannot happen: texts are percent-encoded.
        headers.insert("grpc-status", HeaderValue::from_static("2"));
    }
}

pub(super) fn too_large(length: usize, limit: usize) -> RequestError {
    RequestError::refused(
        RequestErrorKind::MessageTooLarge,
        format!("grpc: received message larger than max ({length} vs. {limit})"),
    )
}

/// The status of a request whose message was not read, and the kind of its error.
pub(super) struct Rejection {
    pub(super) status: Status,
    pub(super) kind: RequestErrorKind,
}

/// Returns the status of a request that is not one message of at most `limit` bytes, or has no
/// room.
pub(super) fn unreadable(error: Unreadable, limit: usize) -> Rejection {
    let error = match error {
        Unreadable::TooLarge(length) => too_large(length, limit),
        Unreadable::Full => RequestError::no_request_room(),
        Unreadable::Slow => RequestError::too_slow(),
        Unreadable::Unwanted(error) => error,
        Unreadable::Compressed => {
            return malformed("grpc: compressed flag set with identity or empty encoding").into();
        }
        Unreadable::Missing => return malformed("grpc: the request holds no message").into(),
        Unreadable::Cut => return malformed("grpc: the request ends within its message").into(),
        Unreadable::Trailing => {
            return malformed("grpc: the request holds more than a message").into();
        }
        // Nobody is left to read it.
        Unreadable::Broken => return malformed("grpc: the request broke off").into(),
    };
    Rejection {
        status: status::of_error(&error),
        kind: error.kind(),
    }
}

impl From<Box<Status>> for Rejection {
    /// Returns the rejection of a malformed request.
    fn from(status: Box<Status>) -> Self {
        Self {
            status: *status,
            kind: RequestErrorKind::InvalidMessage,
        }
    }
}

pub(super) const UNMARSHALLING: &str =
    "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data";

pub(super) fn malformed(text: &str) -> Box<Status> {
    let error = RequestError::refused(RequestErrorKind::InvalidMessage, text);
    Box::new(status::with_text(&error, Code::Internal, text))
}
