//! The method that is shared with the Go library: one request to a mailbox of the peer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use prost::Message as _;
use tokio::sync::oneshot;
use tonic::Status;
use tracing::debug;

use super::answers::{Answered, UNMARSHALLING, failed, malformed, replied, too_large, unreadable};
use super::message_reader::{MessageReader, ReceivedMessage, Unreadable};
use super::served_connection::ServedConnection;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{Body, Payload};
use crate::route::answer::{AnswerReader, ReplyTo};
use crate::route::budget::Charge;
use crate::route::codec::frame::{Framed, MAX_ENVELOPE_BYTES, frame_delivery};
use crate::route::codec::{metadata, status};
use crate::route::directory::{Directory, answered, deliver, is_busy};
use crate::route::incoming::Incoming;
use crate::route::meta::Meta;
use crate::route::reply_room::ReplyRoom;
use crate::wire::grid;

/// A larger reply is encoded in a separate task, so that it does not hold up the other streams of
/// its connection.
const ENCODED_IN_TASK_BYTES: usize = 256 * 1024;

/// Delivers requests to the mailboxes of the peer, and returns their answers.
pub(super) struct ProcessService {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) mailbox_prefix: String,
    pub(super) max_message_bytes: usize,
}

impl ProcessService {
    pub(super) async fn answer(
        &self,
        headers: HeaderMap,
        time: Option<Duration>,
        body: RecvStream,
        connection: &ServedConnection,
    ) -> Answered {
        let deadline = Deadline::after(time.unwrap_or(metadata::DEFAULT_DEADLINE));
        let mut executed = Executed::No;
        let answer = deadline
            .bound(self.exchange(headers, deadline, body, connection, &mut executed))
            .await;
        match answer {
            Some(Ok((body, charge))) => reply(body, charge, deadline, connection).await,
            Some(Err(status)) => failed(&status).into(),
            None => failed(&status::of_error(&RequestError::deadline(executed))).into(),
        }
    }

    async fn exchange(
        &self,
        headers: HeaderMap,
        deadline: Deadline,
        body: RecvStream,
        connection: &ServedConnection,
        executed: &mut Executed,
    ) -> Result<(Body, Option<Charge>), Box<Status>> {
        let failed = |error: RequestError| Box::new(status::of_error(&error));
        let capabilities = metadata::capabilities(&headers);
        let envelope = match capabilities.count_messages_without_envelope() {
            true => MAX_ENVELOPE_BYTES,
            false => 0,
        };
        let caller = connection.caller.clone();
        let read = metadata::read(headers, deadline, caller, &connection.environment);
        let (meta, receiver) = read.map_err(|error| {
            self.directory.failed(error.kind());
            failed(error)
        })?;
        if connection.replies.is_crowded() {
            connection.counters.no_room.increment();
            self.directory.failed(RequestErrorKind::Busy);
            return Err(failed(RequestError::replies_not_taken()));
        }
        let reader = MessageReader::new(connection, body, self.max_message_bytes + envelope);
        let is_wanted = || match receiver {
            Some(receiver) if is_busy(&*self.directory, self.local_name(&receiver)) => {
                Err(RequestError::busy())
            }
            _ => Ok(()),
        };
        let message = reader.message(is_wanted).await.map_err(|error| {
            if matches!(error, Unreadable::Full) {
                connection.counters.no_room.increment();
            }
            let rejection = unreadable(error, self.max_message_bytes);
            self.directory.failed(rejection.kind);
            Box::new(rejection.status)
        })?;
        let (incoming, name, answer) = self.incoming(message, meta, connection)?;
        let queued =
            deliver(&*self.directory, &name, incoming).map_err(|refused| failed(refused.error))?;
        let charged = answered(&*self.directory, queued, answer, executed).await;
        let answer = charged.answer.map_err(failed)?;
        Ok((answer, charged.charge))
    }
}

impl ProcessService {
    /// Returns the name of a mailbox from its key in the registry, or the key itself if it is not a
    /// mailbox key of this grid.
    fn local_name<'a>(&self, receiver: &'a str) -> &'a str {
        receiver
            .strip_prefix(&self.mailbox_prefix)
            .unwrap_or(receiver)
    }

    /// Decodes the envelope of a message. Returns the request, its receiver's name, and the reader
    /// of its answer.
    fn incoming(
        &self,
        message: ReceivedMessage,
        meta: Meta,
        connection: &ServedConnection,
    ) -> Result<(Incoming, String, AnswerReader), Box<Status>> {
        let ReceivedMessage {
            bytes,
            charge,
            reply_room,
            is_shared,
        } = message;
        let length = bytes.len();
        let delivery = match grid::Delivery::decode(bytes) {
            Ok(delivery) => delivery,
            Err(error) => {
                debug!(%error, "a request is not a delivery");
                self.directory.failed(RequestErrorKind::InvalidMessage);
                return Err(malformed(UNMARSHALLING));
            }
        };
        let mut data = delivery.data;
        if data.len() > self.max_message_bytes {
            self.directory.failed(RequestErrorKind::MessageTooLarge);
            let error = too_large(data.len(), self.max_message_bytes);
            return Err(Box::new(status::of_error(&error)));
        }
        let mut name = delivery.receiver;
        if !name.starts_with(&self.mailbox_prefix) {
            self.directory.failed(RequestErrorKind::NotHeld);
            return Err(Box::new(status::of_error(&RequestError::not_held(&name))));
        }
        name.drain(..self.mailbox_prefix.len());
        // A queued message must not keep a much larger buffer alive.
        if is_shared || data.len() < length / 2 {
            data = Bytes::copy_from_slice(&data);
        }
        let body = Body::Encoded(Payload::new(delivery.type_name, data));
        let (reply_to, answer) = ReplyTo::channel();
        let reply_room = match reply_room {
            Some(reserved) => ReplyRoom::Reserved(reserved),
            None => ReplyRoom::Of(connection.replies.clone()),
        };
        let incoming =
            Incoming::new(body, meta, self.max_message_bytes, reply_to).charged(charge, reply_room);
        Ok((incoming, name, answer))
    }
}

/// Returns the response that carries a reply.
async fn reply(
    body: Body,
    charge: Option<Charge>,
    deadline: Deadline,
    connection: &ServedConnection,
) -> Answered {
    let length = body.encoded_len();
    let encoded = match &body {
        Body::Value(_) if length > ENCODED_IN_TASK_BYTES => {
            encode_in_task(body, charge, connection).await
        }
        _ => Some((frame_delivery(&body.encode(), body.wire_name(), ""), charge)),
    };
    let Some((message, charge)) = encoded else {
        let error = RequestError::no_reply("encoding the reply panicked");
        return failed(&status::of_error(&error)).into();
    };
    Answered {
        response: replied(message),
        charge,
        until: Some(deadline),
    }
}

/// Encodes a reply in a separate task; returns `None` if that panics.
async fn encode_in_task(
    body: Body,
    charge: Option<Charge>,
    connection: &ServedConnection,
) -> Option<(Framed, Option<Charge>)> {
    let (encoded, message) = oneshot::channel();
    // Ends with its work, and the server's end waits for it.
    connection.tasks.spawn(async move {
        let message = frame_delivery(&body.encode(), body.wire_name(), "");
        // Without a receiver the client is gone.
        let _ = encoded.send((message, charge));
    });
    message.await.ok()
}
