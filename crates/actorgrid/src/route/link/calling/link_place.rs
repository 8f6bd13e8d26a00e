//! The place of the link to a peer: opened when it is needed, opened again when it has ended, and
//! left alone for a while where none comes about.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::called_link::CalledLink;
use super::link_call::call;
use super::link_client::LinkClient;
use super::link_driver::drive;
use super::open_link::open_link;
use super::pending_call::{LinkEnding, LinkOutcome};
use crate::address::Address;
use crate::environment::{Environment, Timestamp};
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::Body;
use crate::route::call::Call;
use crate::route::calling::ConnectionCounters;
use crate::route::tasks::Tasks;

/// A peer with which no link came about is asked for one again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// The peer that links go to, and what they need of their client.
pub(in crate::route) struct LinkTarget {
    pub(in crate::route) environment: Environment,
    pub(in crate::route) tasks: Tasks,
    pub(in crate::route) closed: CancellationToken,
    pub(in crate::route) connections: Arc<ConnectionCounters>,
    pub(in crate::route) client: Arc<LinkClient>,
    pub(in crate::route) address: Address,
    /// The process to reach; 0 for any.
    pub(in crate::route) incarnation: u64,
}

/// There is no link to the peer: nothing was sent, and the call may go another way.
#[derive(Debug)]
pub(in crate::route) struct NotLinked;

/// The place of the link to a peer.
pub(in crate::route) struct LinkPlace {
    target: Arc<LinkTarget>,
    state: Mutex<LinkPlaceState>,
}

#[derive(Default)]
struct LinkPlaceState {
    link: Option<Arc<CalledLink>>,
    /// No link is tried before.
    retry_at: Option<Timestamp>,
}

impl LinkPlace {
    pub(in crate::route) fn new(target: LinkTarget) -> Self {
        Self {
            target: Arc::new(target),
            state: Mutex::default(),
        }
    }

    /// Brings a call over the link. The first poll decides about its place in the order of calls,
    /// also while the link is being opened. Cancel safe, as a route is.
    ///
    /// # Errors
    ///
    /// [`NotLinked`]: the peer does not speak the link.
    pub(in crate::route) async fn call(
        &self,
        request: &mut Call,
    ) -> Result<Result<Body, RequestError>, NotLinked> {
        let length = request.body.as_ref().map_or(0, Body::encoded_len);
        let limit = self.target.client.max_message_bytes();
        if length > limit {
            return Ok(Err(RequestError::message_too_large(length, limit)));
        }
        // A link that has ended may be found so only now. Nothing was sent over it, so one more
        // try, over a new one, is no repeat.
        let mut tries = 2;
        loop {
            tries -= 1;
            let link = self.link()?;
            let (executed, ending) = match call(&link, request).await {
                LinkOutcome::Replied(payload) => {
                    request.executed = Executed::Yes;
                    return Ok(Ok(Body::Encoded(payload)));
                }
                LinkOutcome::Failed(error) => {
                    request.executed = error.executed();
                    return Ok(Err(error));
                }
                LinkOutcome::Gone { executed, ending } => (executed, ending),
            };
            request.executed = executed;
            match (executed, ending) {
                (Executed::No, LinkEnding::NoLink) => {
                    self.avoid(&link);
                    return Err(NotLinked);
                }
                (_, LinkEnding::Unreachable(error)) => return Ok(Err(error)),
                (Executed::No, LinkEnding::Lost(_)) if tries > 0 => {}
                (executed, ending) => return Ok(Err(lost(executed, &ending))),
            }
        }
    }

    /// The link, which may be about to be opened.
    fn link(&self) -> Result<Arc<CalledLink>, NotLinked> {
        let mut state = self.lock();
        if let Some(link) = state.link.as_ref().filter(|link| link.is_usable()) {
            return Ok(Arc::clone(link));
        }
        if let Some(retry_at) = state.retry_at {
            if self.target.environment.now() < retry_at {
                return Err(NotLinked);
            }
            state.retry_at = None;
        }
        let link = Arc::new(CalledLink::new(self.target.client.limits()));
        state.link = Some(Arc::clone(&link));
        drop(state);
        // It ends when the client is closed, and ends its calls then. It does not panic; if it did,
        // its calls would end.
        self.target
            .tasks
            .spawn(run(Arc::clone(&self.target), Arc::clone(&link)));
        Ok(link)
    }

    /// No link has come about: none is tried for a while.
    fn avoid(&self, failed: &Arc<CalledLink>) {
        let mut state = self.lock();
        if state
            .link
            .as_ref()
            .is_some_and(|link| Arc::ptr_eq(link, failed))
        {
            state.link = None;
            state.retry_at = Some(self.target.environment.now() + RETRY_AFTER);
        }
    }

    fn lock(&self) -> MutexGuard<'_, LinkPlaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the calls of a link when its task ends, however that is.
struct EndsCalls(Arc<CalledLink>);

impl Drop for EndsCalls {
    fn drop(&mut self) {
        self.0.end(LinkEnding::Lost("its task is gone".to_owned()));
    }
}

/// Opens a link and drives it to its end.
async fn run(target: Arc<LinkTarget>, link: Arc<CalledLink>) {
    let _ends = EndsCalls(Arc::clone(&link));
    let LinkTarget {
        environment,
        closed,
        connections,
        client,
        address,
        incarnation,
        ..
    } = &*target;
    let opened = tokio::select! {
        biased;
        () = closed.cancelled() => Err(LinkEnding::Lost("the client is closed".to_owned())),
        opened = open_link(environment, address, client, *incarnation) => opened,
    };
    match opened {
        Ok(opened) => {
            connections.opened.increment();
            drive(environment, &link, opened, closed).await;
            connections.ended.increment();
        }
        Err(ending) => {
            if matches!(ending, LinkEnding::Unreachable(_)) {
                connections.failed.increment();
            }
            link.end(ending);
        }
    }
}

fn lost(executed: Executed, ending: &LinkEnding) -> RequestError {
    let text = match ending {
        LinkEnding::Lost(text) => text,
        LinkEnding::Unreachable(error) => error.text(),
        LinkEnding::NoLink => "it does not speak the link",
    };
    match executed {
        Executed::No => RequestError::refused(
            RequestErrorKind::Unreachable,
            format!("the peer did not take the request: {text}"),
        ),
        executed => RequestError::new(
            RequestErrorKind::ConnectionLost,
            executed,
            format!("the link to the peer broke: {text}"),
        ),
    }
}
