//! The way to a peer: over its link if it has one, else by unary calls.

use std::sync::Arc;

use super::peer::Peer;
use super::process_route::ProcessRoute;
use crate::error::RequestError;
use crate::message::Body;
use crate::route::call::{Call, Route};
use crate::route::link::calling::{LinkHandle, MovedCall};

/// The way to the mailboxes of another peer.
#[derive(Clone)]
pub(crate) struct PeerRoute {
    process: ProcessRoute,
}

impl PeerRoute {
    pub(super) fn new(peer: Arc<Peer>) -> Self {
        Self {
            process: ProcessRoute::new(peer),
        }
    }

    /// Returns the link, if it is open.
    pub(crate) fn open_link(&self) -> Option<LinkHandle> {
        self.process.peer.link.as_ref()?.open()
    }

    /// The same without the link, for the services that it does not carry.
    pub(crate) fn into_process(self) -> ProcessRoute {
        self.process
    }
}

impl PeerRoute {
    /// Calls, from the place to which the call has moved on a link, if it has.
    pub(crate) async fn call_from(
        &self,
        moved: Option<MovedCall>,
        call: &mut Call,
    ) -> Result<Body, RequestError> {
        if let Some(link) = &self.process.peer.link {
            self.process.check_open()?;
            // Otherwise nothing was sent.
            if let Ok(answer) = link.call(moved, call).await {
                return answer.map_err(|error| self.process.lost_or_closed(error));
            }
        }
        self.process.call(call).await
    }
}

impl Route for PeerRoute {
    async fn call(&self, call: &mut Call) -> Result<Body, RequestError> {
        self.call_from(None, call).await
    }
}
