//! One unary gRPC call to a peer: one HTTP/2 stream, and the meaning of its answer.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::OptionFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming as HttpBody;
use prost::Message as _;
use tonic::Code;

use super::connection::{CallGuard, Connection, is_refusal};
use super::peer::Peer;
use super::pool_core::PoolCore;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{Body, Payload};
use crate::route::call::{Call, Route};
use crate::route::codec::frame::{self, MAX_ENVELOPE_BYTES};
use crate::route::codec::{Outgoing, ReadError, Reader, metadata, status};
use crate::wire::grid;

/// The route to the mailboxes of another peer, with one HTTP/2 stream per call.
#[derive(Clone)]
pub(crate) struct ProcessRoute {
    pub(super) peer: Arc<Peer>,
}

/// The outcome of sending a request: an answer, or proof that the request was never sent.
pub(super) enum Sent {
    Answered(Response<HttpBody>),
    /// The request provably did not reach the receiver.
    Never(RequestError),
}

impl ProcessRoute {
    pub(super) fn new(peer: Arc<Peer>) -> Self {
        Self { peer }
    }

    /// Sends over one connection.
    fn send(
        &self,
        connection: &Connection,
        message: CallMessage<'_>,
    ) -> impl Future<Output = Result<Sent, RequestError>> + use<> {
        let mut request = Request::new(Outgoing::request(message.framed()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.peer.uri.clone();
        *request.headers_mut() = message.headers;
        send(connection, request)
    }

    async fn read(&self, response: Response<HttpBody>) -> Result<Body, RequestError> {
        let (mut parts, body) = response.into_parts();
        if let Some(status) = status::of_headers(&mut parts.headers) {
            if status.code() == Code::Ok {
                return Err(unexpected("the answer holds no reply"));
            }
            return Err(status::to_error(&status));
        }
        check_is_grpc(&parts)?;
        let limit = self.peer.shared.max_message_bytes;
        let mut reader = Reader::new(body, limit + MAX_ENVELOPE_BYTES);
        let message = match reader.message().await {
            Ok(message) => message,
            Err(error) => return Err(self.unreadable(error)),
        };
        let mut trailers = match reader.trailers().await {
            Ok(Some(trailers)) => trailers,
            Ok(None) => HeaderMap::new(),
            Err(error) => return Err(self.unreadable(error)),
        };
        match status::of_headers(&mut trailers) {
            Some(status) if status.code() == Code::Ok => self.reply(message),
            Some(status) => Err(status::to_error(&status)),
            None => Err(self.unreadable(ReadError::Cut)),
        }
    }

    fn reply(&self, message: Bytes) -> Result<Body, RequestError> {
        let delivery = grid::Delivery::decode(message)
            .map_err(|_| unexpected("the answer is not a delivery"))?;
        if delivery.data.len() > self.peer.shared.max_message_bytes {
            return Err(self.too_large(delivery.data.len()));
        }
        Ok(Body::Encoded(Payload::new(
            delivery.type_name,
            delivery.data,
        )))
    }

    fn too_large(&self, length: usize) -> RequestError {
        let limit = self.peer.shared.max_message_bytes;
        RequestError::new(
            RequestErrorKind::ReplyTooLarge,
            Executed::Yes,
            format!("the reply has {length} bytes and the limit is {limit}"),
        )
    }

    fn unreadable(&self, error: ReadError<hyper::Error>) -> RequestError {
        match error {
            ReadError::TooLarge(length) => self.too_large(length),
            ReadError::Compressed => unexpected("the reply is compressed"),
            ReadError::Trailing => unexpected("the answer holds more than one reply"),
            ReadError::Body(error) => lost(error, Executed::Maybe),
            ReadError::Missing | ReadError::Cut => RequestError::new(
                RequestErrorKind::ConnectionLost,
                Executed::Maybe,
                "the answer broke off",
            ),
        }
    }

    /// That the client is closed, if it is.
    pub(super) fn check_open(&self) -> Result<(), RequestError> {
        match self.peer.shared.is_closed() {
            true => Err(PoolCore::closed_error()),
            false => Ok(()),
        }
    }

    /// Reports a connection that was lost because the client was closed as
    /// [`ClientClosed`](RequestErrorKind::ClientClosed).
    pub(super) fn lost_or_closed(&self, error: RequestError) -> RequestError {
        self.peer.shared.lost_or_closed(error)
    }
}

/// Sends over one connection. `Sent::Never` means that the request provably never reached the
/// receiver; after an error it may have.
pub(super) fn send(
    connection: &Connection,
    request: Request<Outgoing>,
) -> impl Future<Output = Result<Sent, RequestError>> + use<> {
    // An async function would hold the request, too.
    OptionFuture::from(connection.send(request)).map(|sent| match sent {
        Some(Ok(response)) => Ok(Sent::Answered(response)),
        // The request never left the connection's queue.
        Some(Err(error)) if error.message().is_some() => {
            Ok(Sent::Never(lost(error.into_error(), Executed::No)))
        }
        Some(Err(error)) => {
            let error = error.into_error();
            if is_refusal(&error) {
                Ok(Sent::Never(lost(error, Executed::No)))
            } else {
                Err(lost(error, Executed::Maybe))
            }
        }
        None => Ok(Sent::Never(RequestError::refused(
            RequestErrorKind::Unreachable,
            "the connection to the peer has ended",
        ))),
    })
}

/// Checks that an answer whose headers contain no status is that of a gRPC method.
pub(super) fn check_is_grpc(parts: &http::response::Parts) -> Result<(), RequestError> {
    let content_type = parts.headers.get(CONTENT_TYPE);
    let is_grpc =
        content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if parts.status == StatusCode::OK && is_grpc {
        return Ok(());
    }
    Err(RequestError::new(
        RequestErrorKind::Unknown,
        Executed::Maybe,
        format!("the answer is not a peer's: HTTP status {}", parts.status),
    ))
}

/// For a message larger than this, its receiver is also stated in the headers, so that a full
/// mailbox can answer before the message has been sent. A smaller message arrives at once anyway.
const STATED_RECEIVER_BYTES: usize = 64 * 1024;

/// One message, ready to be framed once per try.
struct CallMessage<'a> {
    headers: HeaderMap,
    payload: &'a Payload,
    receiver: &'a str,
}

impl CallMessage<'_> {
    fn framed(&self) -> frame::Framed {
        frame::frame_delivery(
            self.payload.bytes(),
            self.payload.wire_name(),
            self.receiver,
        )
    }
}

impl Route for ProcessRoute {
    async fn call(&self, call: &mut Call) -> Result<Body, RequestError> {
        let limit = self.peer.shared.max_message_bytes;
        let Some(body) = &call.body else {
            return Err(RequestError::no_reply("the message is gone"));
        };
        let length = body.encoded_len();
        if length > limit {
            return Err(RequestError::message_too_large(length, limit));
        }
        // Encoded only once, however often the call is retried.
        if let Body::Value(value) = body {
            let payload = Payload::new(value.wire_name().to_owned(), value.encode());
            call.body = Some(Body::Encoded(payload));
        }
        let Some(Body::Encoded(payload)) = &call.body else {
            return Err(RequestError::no_reply("the message is gone"));
        };
        let receiver = format!("{}{}", self.peer.shared.mailbox_prefix, call.receiver);

        // A connection that broke while it was idle may be noticed only now. Nothing was sent over
        // it, so another try, over a new connection, is not a retry of the request.
        let mut tries = 2;
        loop {
            tries -= 1;
            let connection = self.peer.connection().await?;
            if call.meta.deadline.remaining().is_zero() {
                return Err(RequestError::deadline(Executed::No));
            }
            let mut headers = metadata::write(&call.meta);
            if payload.bytes().len() > STATED_RECEIVER_BYTES {
                metadata::put_receiver(&mut headers, &receiver);
            }
            let message = CallMessage {
                headers,
                payload,
                receiver: &receiver,
            };
            call.executed = Executed::Maybe;
            let guard = CallGuard::begin(&*connection);
            let sent = self.send(&connection, message).await;
            let answer = match sent {
                Ok(Sent::Never(_)) if tries > 0 => {
                    guard.end();
                    call.executed = Executed::No;
                    continue;
                }
                Ok(Sent::Never(error)) | Err(error) => Err(self.lost_or_closed(error)),
                Ok(Sent::Answered(response)) => self
                    .read(response)
                    .await
                    .map_err(|error| self.lost_or_closed(error)),
            };
            guard.end();
            if let Err(error) = &answer {
                call.executed = error.executed();
            }
            return answer;
        }
    }
}

pub(super) fn unexpected(text: &str) -> RequestError {
    RequestError::new(RequestErrorKind::UnexpectedReply, Executed::Yes, text)
}

pub(super) fn lost(error: hyper::Error, executed: Executed) -> RequestError {
    let cause = std::error::Error::source(&error)
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    let lost = match executed {
        Executed::No => RequestError::refused(
            RequestErrorKind::Unreachable,
            format!("the peer did not take the request: {error}{cause}"),
        ),
        _ => RequestError::new(
            RequestErrorKind::ConnectionLost,
            executed,
            format!("the connection to the peer broke: {error}{cause}"),
        ),
    };
    lost.caused_by(error)
}
