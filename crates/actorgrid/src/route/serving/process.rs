//! The method that the Go library shares: one request to a mailbox of the peer.

use std::sync::Arc;

use http::Response;
use hyper::body::Incoming as HttpBody;
use prost::Message as _;
use tonic::Status;
use tracing::debug;

use super::answers::{UNMARSHALLING, failed, malformed, replied, too_large, unreadable};
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{Body, Payload};
use crate::registry::Capabilities;
use crate::route::answer::ReplyTo;
use crate::route::budget::ByteBudget;
use crate::route::codec::frame::{MAX_ENVELOPE_BYTES, frame_delivery};
use crate::route::codec::{Outgoing, Reader, status};
use crate::route::directory::{Directory, answered, deliver};
use crate::route::incoming::Incoming;
use crate::route::meta::Meta;
use crate::wire::grid;

/// Brings requests to the mailboxes of the peer, and their answers back.
pub(super) struct ProcessService {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) mailbox_prefix: String,
    pub(super) max_message_bytes: usize,
    pub(super) budget: ByteBudget,
}

impl ProcessService {
    pub(super) async fn answer(
        &self,
        meta: Meta,
        body: HttpBody,
        capabilities: Capabilities,
    ) -> Response<Outgoing> {
        let deadline = meta.deadline;
        let mut executed = Executed::No;
        let answer = deadline
            .bound(self.exchange(meta, body, capabilities, &mut executed))
            .await;
        match answer {
            Some(Ok(body)) => replied(frame_delivery(&body.encode(), body.wire_name(), "")),
            Some(Err(status)) => failed(&status),
            None => failed(&status::of_error(&RequestError::deadline(executed))),
        }
    }

    async fn exchange(
        &self,
        meta: Meta,
        body: HttpBody,
        capabilities: Capabilities,
        executed: &mut Executed,
    ) -> Result<Body, Box<Status>> {
        let failed = |error: RequestError| Box::new(status::of_error(&error));
        let envelope = match capabilities.count_messages_without_envelope() {
            true => MAX_ENVELOPE_BYTES,
            false => 0,
        };
        let reader = Reader::new(body, self.max_message_bytes + envelope);
        let mut reader = reader.within(&self.budget);
        let bytes = match reader.message().await {
            Ok(bytes) => bytes,
            Err(error) => {
                self.directory.failed(RequestErrorKind::InvalidMessage);
                return Err(unreadable(&error, self.max_message_bytes));
            }
        };
        let delivery = match grid::Delivery::decode(bytes) {
            Ok(delivery) => delivery,
            Err(error) => {
                debug!(%error, "a request is not a delivery");
                self.directory.failed(RequestErrorKind::InvalidMessage);
                return Err(malformed(UNMARSHALLING));
            }
        };
        if delivery.data.len() > self.max_message_bytes {
            self.directory.failed(RequestErrorKind::MessageTooLarge);
            return Err(failed(too_large(
                delivery.data.len(),
                self.max_message_bytes,
            )));
        }
        let Some(name) = delivery.receiver.strip_prefix(&self.mailbox_prefix) else {
            self.directory.failed(RequestErrorKind::NotHeld);
            return Err(failed(RequestError::not_held(&delivery.receiver)));
        };
        let body = Body::Encoded(Payload::new(delivery.type_name, delivery.data));
        let (reply_to, answer) = ReplyTo::channel();
        let incoming = Incoming::new(body, meta, self.max_message_bytes, reply_to);
        let queued = deliver(&*self.directory, name, incoming)
            .await
            .map_err(|refused| failed(refused.error))?;
        *executed = Executed::Maybe;
        answered(&*self.directory, queued, answer)
            .await
            .map_err(failed)
    }
}
