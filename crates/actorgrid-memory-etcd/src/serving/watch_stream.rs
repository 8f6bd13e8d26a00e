//! A stream of watches.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;
use tonic::{Status, Streaming};

use crate::etcd_core::EtcdCore;
use crate::watch::WatchSession;
use crate::wire::{WatchRequest, WatchResponse};

/// Feeds the requests of a stream and the changes of the state to its watches.
pub(super) struct WatchStream {
    core: Arc<EtcdCore>,
    token: Option<String>,
    requests: Streaming<WatchRequest>,
    session: WatchSession,
    changes: watch::Receiver<()>,
    /// The answers to one request, or the next message of each watch: refilled when it is empty.
    ready: VecDeque<WatchResponse>,
}

impl WatchStream {
    pub(super) fn new(
        core: Arc<EtcdCore>,
        token: Option<String>,
        requests: Streaming<WatchRequest>,
    ) -> Self {
        Self {
            changes: core.changes(),
            core,
            token,
            requests,
            session: WatchSession::default(),
            ready: VecDeque::new(),
        }
    }

    /// Returns the next message, or `None` once the client has ended its side of the stream.
    pub(super) async fn next(&mut self) -> Option<Result<WatchResponse, Status>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(Ok(message));
            }
            self.changes.mark_unchanged();
            let session = &mut self.session;
            let (messages, due) = self.core.with(|state, now| {
                let messages = session.messages(state, now);
                let due = session.due().into_iter().chain(state.next_event()).min();
                (messages, due)
            });
            if !messages.is_empty() {
                self.ready.extend(messages);
                continue;
            }
            tokio::select! {
                biased;
                request = self.requests.message() => match request {
                    Ok(request) => self.take(request?),
                    Err(status) => return Some(Err(status)),
                },
                _ = self.changes.changed() => {}
                () = self.core.sleep_until(due) => {}
            }
        }
    }

    fn take(&mut self, request: WatchRequest) {
        let (session, token) = (&mut self.session, self.token.as_deref());
        let answers = self
            .core
            .with(|state, now| session.request(state, now, token, request));
        self.ready.extend(answers);
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        let session = &mut self.session;
        self.core.with(|state, _| session.end(state));
    }
}
