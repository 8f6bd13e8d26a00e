//! One stream of a connection: the request on it, and the transmission of its response.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf as _, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::Body as _;

use super::answers::Answered;
use super::grid_service::GridService;
use super::reply_buffer::{ReplyBuffer, UnsentReply};
use super::served_connection::ServedConnection;
use crate::environment::Deadline;
use crate::route::budget::Charge;
use crate::route::codec::frame::Framed;

/// The client does not want the rest of the response, or is gone.
struct ClientGone;

impl From<h2::Error> for ClientGone {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

/// Serves one stream until its response is handed to the HTTP/2 library, or until the client resets
/// it. Returns a reply that has not been written to the socket yet.
pub(super) async fn serve_stream(
    connection: Arc<ServedConnection>,
    service: Arc<GridService>,
    request: Request<RecvStream>,
    mut respond: SendResponse<ReplyBuffer>,
) -> Option<UnsentReply> {
    let answered = {
        let mut answer = pin!(service.answer(request, &connection));
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        })
        .await?
    };
    // If the client is gone, nobody is left to report it to.
    send(&connection, &mut respond, answered).await.ok()?
}

async fn send(
    connection: &ServedConnection,
    respond: &mut SendResponse<ReplyBuffer>,
    answered: Answered,
) -> Result<Option<UnsentReply>, ClientGone> {
    let Answered {
        response,
        mut charge,
        until,
    } = answered;
    let (head, mut body) = response.into_parts();
    let head = Response::from_parts(head, ());
    connection.activity.note_response();
    if body.is_end_stream() {
        respond.send_response(head, true)?;
        return Ok(None);
    }
    let mut outgoing = OutgoingResponse {
        connection,
        stream: respond.send_response(head, false)?,
        until,
        sent: Arc::default(),
    };
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => outgoing.stream.poll_reset(cx).map(|_| None),
        });
        let Some(Ok(frame)) = frame.await else {
            return Err(ClientGone);
        };
        match frame.into_data() {
            Ok(data) => outgoing.message(data, charge.take()).await?,
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                outgoing.stream.send_trailers(trailers)?;
                let OutgoingResponse { stream, sent, .. } = outgoing;
                return Ok(until.map(|until| UnsentReply::new(stream, until, sent)));
            }
        }
    }
}

/// A response whose client may be slow.
struct OutgoingResponse<'a> {
    connection: &'a ServedConnection,
    stream: SendStream<ReplyBuffer>,
    until: Option<Deadline>,
    /// Shared with the last bytes of each message.
    sent: Arc<()>,
}

impl OutgoingResponse<'_> {
    /// Sends a message as the client makes room for it.
    async fn message(
        &mut self,
        mut data: Framed,
        charge: Option<Charge>,
    ) -> Result<(), ClientGone> {
        loop {
            let left = data.remaining();
            let capacity = self.capacity(left).await?;
            if capacity >= left {
                let last = ReplyBuffer::last(data, charge, self.sent.clone());
                self.stream.send_data(last, false)?;
                return Ok(());
            }
            let part = data.copy_to_bytes(capacity);
            let part = part.chain(Bytes::new().chain(Bytes::new()));
            self.stream.send_data(ReplyBuffer::part(part), false)?;
        }
    }

    /// Waits until the client accepts more bytes, and returns how many. At the deadline, the rest
    /// is dropped.
    async fn capacity(&mut self, wanted: usize) -> Result<usize, ClientGone> {
        let Self { stream, until, .. } = self;
        stream.reserve_capacity(wanted);
        let capacity = stream.capacity();
        if capacity > 0 || wanted == 0 {
            return Ok(capacity);
        }
        let granted = poll_fn(|cx| {
            loop {
                return match stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(0))) => continue,
                    Poll::Ready(Some(Ok(capacity))) => Poll::Ready(Ok(capacity)),
                    Poll::Ready(Some(Err(_)) | None) => Poll::Ready(Err(ClientGone)),
                    Poll::Pending => Poll::Pending,
                };
            }
        });
        let granted = match until {
            Some(until) => until.bound(granted).await,
            None => Some(granted.await),
        };
        granted.unwrap_or_else(|| {
            self.connection.counters.replies_not_taken.increment();
            stream.send_reset(Reason::CANCEL);
            Err(ClientGone)
        })
    }
}
