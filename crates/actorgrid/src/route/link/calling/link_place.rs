//! The place of the link to a peer: opened when it is needed, opened again when it has ended, and
//! left alone for a while where none comes about.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::called_link::CalledLink;
use super::link_call::{LinkHandle, MovedCall, call};
use super::link_client::LinkClient;
use super::link_driver::drive;
use super::open_link::open_link;
use super::pending_call::{LinkEnding, LinkOutcome};
use crate::address::Address;
use crate::environment::{Environment, Timestamp};
use crate::error::{Executed, RequestError};
use crate::message::Body;
use crate::route::call::Call;
use crate::route::calling::ConnectionCounters;
use crate::route::tasks::Tasks;

/// A peer with which no link came about is asked for one again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// How long a process that had a link is not called over gRPC though attempts fail. A peer closes a
/// link on which nothing has arrived for this long.
const OLDER_LINK_TIME: Duration = Duration::from_secs(15);
/// A peer that had no room for a link is asked for the next one after this time.
const CROWDED_TIME: Duration = Duration::from_secs(1);

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
    history: Arc<Mutex<LinkHistory>>,
    state: Mutex<LinkPlaceState>,
}

#[derive(Default)]
struct LinkPlaceState {
    link: Option<Arc<CalledLink>>,
    /// No link came about: none is tried before.
    retry_at: Option<Timestamp>,
    /// The one that is then tried, while calls go another way.
    trial: Option<Arc<CalledLink>>,
    /// The peer has no room for the link: the next one is not opened before.
    crowded_until: Option<Timestamp>,
}

impl LinkPlaceState {
    /// Leaves a link that has shown that none is possible: it is tried again after a while.
    fn leave_mismatch(&mut self, now: Timestamp) {
        let ending = self.link.as_ref().and_then(|link| link.ending());
        if let Some(LinkEnding::NoLink | LinkEnding::Mismatch(_)) = ending {
            self.link = None;
            self.retry_at = Some(now + RETRY_AFTER);
        }
    }
}

impl LinkPlace {
    pub(in crate::route) fn new(target: LinkTarget) -> Self {
        Self {
            target: Arc::new(target),
            history: Arc::default(),
            state: Mutex::default(),
        }
    }

    /// Brings a call over the link, from the place to which it has moved if that is on this one.
    /// The first poll decides about its place in the order of calls, also while the link is being
    /// opened. Cancel safe, as a route is.
    ///
    /// # Errors
    ///
    /// [`NotLinked`]: the peer does not speak the link.
    pub(in crate::route) async fn call(
        &self,
        mut moved: Option<MovedCall>,
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
            let (executed, ending) = match self.call_once(moved.take(), request).await? {
                LinkOutcome::Replied(payload) => {
                    request.executed = Executed::Yes;
                    return Ok(Ok(Body::Encoded(payload)));
                }
                LinkOutcome::Failed(error) => {
                    request.executed = error.executed();
                    return Ok(Err(error));
                }
                // Its caller's timer fires at the same time.
                LinkOutcome::Overdue { executed } => {
                    request.executed = executed;
                    return Ok(Err(RequestError::deadline(executed)));
                }
                LinkOutcome::Gone { executed, ending } => (executed, ending),
                // A short reply is taken out of its place, and a large message sent in chunks here.
                LinkOutcome::Short(_) | LinkOutcome::TooLarge => return Err(NotLinked),
                LinkOutcome::Moved(_) => (
                    Executed::No,
                    LinkEnding::Lost("it has no successor".to_owned()),
                ),
            };
            request.executed = executed;
            match (executed, ending) {
                (Executed::No, LinkEnding::NoLink | LinkEnding::Mismatch(_)) => {
                    let now = self.target.environment.now();
                    self.lock().leave_mismatch(now);
                    return Err(NotLinked);
                }
                (_, LinkEnding::Unreachable(error)) => return Ok(Err(error)),
                (Executed::No, LinkEnding::Lost(_)) if tries > 0 => {}
                (executed, ending) => return Ok(Err(ending.lost(executed))),
            }
        }
    }

    /// Brings a call over the link, and over the next one if it moves there.
    async fn call_once(
        &self,
        moved: Option<MovedCall>,
        request: &mut Call,
    ) -> Result<LinkOutcome, NotLinked> {
        let mut link = self.link()?;
        let mut place = moved.and_then(|moved| moved.place_on(&link));
        loop {
            let outcome = call(&link, request, place).await;
            let (LinkOutcome::Moved(moved), Some(next)) = (&outcome, link.next()) else {
                return Ok(outcome);
            };
            request.executed = Executed::No;
            place = Some(*moved);
            let next = Arc::clone(next);
            self.begin(&next);
            link = next;
        }
    }

    /// Returns the link, if it is open.
    pub(in crate::route) fn open(&self) -> Option<LinkHandle> {
        let link = self.lock().link.clone()?;
        link.is_open().then(|| LinkHandle::new(link))
    }

    /// Returns how many calls have come to the link so far.
    pub(in crate::route) fn uses(&self) -> u64 {
        let link = self.lock().link.clone();
        link.map_or(0, |link| link.uses())
    }

    /// The link, which may be about to be opened, or have ended just now.
    fn link(&self) -> Result<Arc<CalledLink>, NotLinked> {
        let mut state = self.lock();
        if let Some(link) = &state.link {
            if link.is_usable() {
                return Ok(Arc::clone(link));
            }
            let next = link.next().cloned();
            if let Some(next) = next {
                state.link = Some(Arc::clone(&next));
                drop(state);
                self.begin(&next);
                return Ok(next);
            }
        }
        let now = self.target.environment.now();
        state.leave_mismatch(now);
        let ending = state.link.as_ref().and_then(|link| link.ending());
        if matches!(ending, Some(LinkEnding::Crowded(_))) {
            let until = *state.crowded_until.get_or_insert(now + CROWDED_TIME);
            if now < until
                && let Some(link) = &state.link
            {
                return Ok(Arc::clone(link));
            }
            state.crowded_until = None;
        }
        if let Some(retry_at) = state.retry_at {
            return self.tried_again(&mut state, now, retry_at);
        }
        let link = self.new_link();
        state.link = Some(Arc::clone(&link));
        Ok(link)
    }

    /// The link to a peer with which none came about: it is tried again after a while. Calls go
    /// another way until it is open, as a peer that speaks something else may say nothing at all.
    fn tried_again(
        &self,
        state: &mut LinkPlaceState,
        now: Timestamp,
        retry_at: Timestamp,
    ) -> Result<Arc<CalledLink>, NotLinked> {
        match state.trial.take() {
            None if now >= retry_at => {
                state.trial = Some(self.new_link());
                state.retry_at = Some(now + RETRY_AFTER);
            }
            None => {}
            Some(link) if link.is_open() => {
                state.link = Some(Arc::clone(&link));
                state.retry_at = None;
                return Ok(link);
            }
            Some(link) if link.is_usable() => state.trial = Some(link),
            // The next one is tried a minute after this one was.
            Some(_) => return self.tried_again(state, now, retry_at),
        }
        Err(NotLinked)
    }

    fn new_link(&self) -> Arc<CalledLink> {
        let link = Arc::new(CalledLink::new(self.target.client.limits()));
        self.begin(&link);
        link
    }

    /// Opens a link, if that was not begun.
    fn begin(&self, link: &Arc<CalledLink>) {
        if !link.begin() {
            return;
        }
        // It ends when the client is closed, and ends its calls then. It does not panic; if it did,
        // its calls would end.
        self.target.tasks.spawn(run(
            Arc::clone(&self.target),
            Arc::clone(&self.history),
            Arc::clone(link),
        ));
    }

    fn lock(&self) -> MutexGuard<'_, LinkPlaceState> {
        lock(&self.state)
    }
}

/// The past attempts at a link with one process.
#[derive(Default)]
struct LinkHistory {
    /// Whether a link was open before.
    was_open: bool,
    /// When the first attempt since then began, if it has failed.
    failing_since: Option<Timestamp>,
}

impl LinkHistory {
    /// Whether a process that says nothing to an attempt that begins now speaks the link all the
    /// same. A frozen one does not answer, and may still execute requests of the older link when it
    /// goes on. A newer link makes it discard them, a call over gRPC would not.
    fn speaks_links(&mut self, now: Timestamp) -> bool {
        let since = *self.failing_since.get_or_insert(now);
        self.was_open && now.since(since) < OLDER_LINK_TIME
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the calls of a link when its task ends, however that is.
struct EndsCalls(Arc<CalledLink>);

impl Drop for EndsCalls {
    fn drop(&mut self) {
        self.0.end(LinkEnding::Lost("its task is gone".to_owned()));
    }
}

/// Opens a link and drives it to its end.
async fn run(target: Arc<LinkTarget>, history: Arc<Mutex<LinkHistory>>, link: Arc<CalledLink>) {
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
    let speaks_links = lock(&history).speaks_links(environment.now());
    let opened = tokio::select! {
        biased;
        () = closed.cancelled() => Err(LinkEnding::Lost("the client is closed".to_owned())),
        opened = open_link(environment, address, client, *incarnation, speaks_links) => opened,
    };
    match opened {
        Ok(opened) => {
            connections.opened.increment();
            *lock(&history) = LinkHistory {
                was_open: true,
                failing_since: None,
            };
            drive(environment, &link, opened, closed).await;
            connections.ended.increment();
            if let Some(LinkEnding::Mismatch(reason)) = link.ending() {
                warn!(%address, %reason, "a peer is reached without a link for a while");
            }
        }
        Err(ending) => {
            if matches!(ending, LinkEnding::Unreachable(_)) {
                connections.failed.increment();
            }
            link.end(ending);
        }
    }
}
