//! The responses that services make, and the statuses of requests that cannot be read.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tonic::{Code, Status};

use crate::error::{RequestError, RequestErrorKind};
use crate::route::codec::frame::Framed;
use crate::route::codec::{Outgoing, ReadError, status};

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

/// The answer of a gRPC method.
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
        // Cannot be: texts are percent-encoded.
        headers.insert("grpc-status", HeaderValue::from_static("2"));
    }
}

pub(super) fn too_large(length: usize, limit: usize) -> RequestError {
    RequestError::refused(
        RequestErrorKind::MessageTooLarge,
        format!("grpc: received message larger than max ({length} vs. {limit})"),
    )
}

/// The status of a request that is not one message of at most `limit` bytes.
pub(super) fn unreadable(error: &ReadError<hyper::Error>, limit: usize) -> Box<Status> {
    match error {
        ReadError::TooLarge(length) => Box::new(status::of_error(&too_large(*length, limit))),
        ReadError::Compressed => {
            malformed("grpc: compressed flag set with identity or empty encoding")
        }
        ReadError::Missing => malformed("grpc: the request holds no message"),
        ReadError::Cut => malformed("grpc: the request ends within its message"),
        ReadError::Trailing => malformed("grpc: the request holds more than a message"),
        // Nobody is there to read it.
        ReadError::Body(_) => malformed("grpc: the request broke off"),
    }
}

pub(super) const UNMARSHALLING: &str =
    "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data";

pub(super) fn malformed(text: &str) -> Box<Status> {
    let error = RequestError::refused(RequestErrorKind::InvalidMessage, text);
    Box::new(status::with_text(&error, Code::Internal, text))
}
