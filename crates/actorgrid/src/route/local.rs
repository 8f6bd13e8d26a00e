//! The route to the mailboxes of the same process.

use std::sync::Arc;

use super::answer::ReplyTo;
use super::call::{Call, Route};
use super::directory::{Directory, Resolved, answered, deliver};
use super::incoming::Incoming;
use crate::error::RequestError;
use crate::message::Body;

/// The route to the mailboxes of the same process: messages move by value.
#[derive(Clone)]
pub(crate) struct LocalRoute {
    directory: Arc<dyn Directory>,
    max_message_bytes: usize,
}

impl LocalRoute {
    pub(crate) fn new(directory: Arc<dyn Directory>, max_message_bytes: usize) -> Self {
        Self {
            directory,
            max_message_bytes,
        }
    }

    /// Whether this peer has the name open, or is deciding it.
    pub(crate) fn knows(&self, name: &str) -> bool {
        !matches!(self.directory.resolve(name), Resolved::Absent)
    }
}

impl Route for LocalRoute {
    async fn call(&self, call: &mut Call) -> Result<Body, RequestError> {
        let length = call.body.as_ref().map_or(0, Body::encoded_len);
        if length > self.max_message_bytes {
            return Err(RequestError::message_too_large(
                length,
                self.max_message_bytes,
            ));
        }
        // A call without a message was handed over before, and only a call that keeps its message
        // is retried after that.
        let Some(body) = call.take_body() else {
            return Err(RequestError::no_reply("the message is gone"));
        };
        let (reply_to, answer) = ReplyTo::channel();
        let meta = call.meta.clone();
        let incoming = Incoming::new(body, meta, self.max_message_bytes, reply_to);
        match deliver(&*self.directory, call.receiver.as_str(), incoming) {
            Ok(queued) => {
                let answered = answered(&*self.directory, queued, answer, &mut call.executed);
                let charged = answered.await;
                if let Some(body) = charged.returned {
                    call.body = Some(*body);
                }
                charged.answer
            }
            Err(refused) => {
                if refused.body.is_some() {
                    call.body = refused.body;
                }
                Err(refused.error)
            }
        }
    }
}
