//! Where the answer to a request from the same process goes.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::call_places::{CallPlaces, LocalAnswer};
use super::slab::SlabKey;
use crate::error::RequestError;

/// Where the answer to a local call goes. Dropped without one, it answers that there is none.
pub(super) struct LocalReply {
    /// `None` once it is answered, or need not be.
    places: Option<Arc<CallPlaces>>,
    key: SlabKey,
}

impl LocalReply {
    pub(super) const fn new(places: Arc<CallPlaces>, key: SlabKey) -> Self {
        Self {
            places: Some(places),
            key,
        }
    }

    /// Answers. Returns the answer if nobody waits for it any more.
    pub(super) fn send(mut self, answer: LocalAnswer) -> Result<(), LocalAnswer> {
        match self.places.take() {
            Some(places) => places.answer(self.key, answer),
            None => Err(answer),
        }
    }

    /// Nothing is answered: the requester knows.
    pub(super) fn forget(mut self) {
        self.places = None;
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_closed(&self) -> bool {
        !self
            .places
            .as_ref()
            .is_some_and(|places| places.has(self.key))
    }

    /// Ready when nobody waits for the answer any more.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        let waits = |places: &Arc<CallPlaces>| places.note_leaving(self.key, cx.waker().clone());
        match self.places.as_ref().is_some_and(waits) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }
}

impl Drop for LocalReply {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            // A panic has kept its holder from answering.
            let answer = LocalAnswer {
                answer: Err(RequestError::no_reply("the receiver is gone")),
                returned: None,
            };
            let _ = places.answer(self.key, answer);
        }
    }
}

impl fmt::Debug for LocalReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalReply").finish_non_exhaustive()
    }
}
