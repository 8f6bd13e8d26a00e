//! The stream of a server's events.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::event_log::{EventLog, EventSource, LogPosition};
use super::server_event::ServerEvent;

/// The events of a server, in order, from the call of
/// [`ServerHandle::events`](crate::ServerHandle::events) on. It is also a [`Stream`].
///
/// No event is skipped, however short a state was, unless the reader falls behind by more than
/// 1,024 events: it then gets [`ServerEvent::Missed`] with the number of dropped events, followed
/// by the remaining ones. A slow reader delays nothing. The dropped events can include changes of
/// the state: after `Missed`, read [`state`](crate::ServerHandle::state) and
/// [`fence_reason`](crate::ServerHandle::fence_reason).
///
/// The last event is the state [`Stopped`](crate::ServerState::Stopped). The ends of actors that
/// outlive it are not reported: actors of a dropped server, and actors that a shutdown could not
/// end (see [`ShutdownError::stuck`](crate::ShutdownError::stuck)).
pub struct ServerEvents {
    log: Arc<EventLog>,
    position: LogPosition,
}

impl ServerEvents {
    pub(in crate::server) fn of(source: &EventSource) -> Self {
        let log = source.log().clone();
        Self {
            position: log.subscribe(),
            log,
        }
    }

    /// Waits for the next event. Returns `None` once the server has stopped and every event was
    /// read.
    ///
    /// # Cancel safety
    ///
    /// No event is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<ServerEvent> {
        std::future::poll_fn(|cx| self.log.poll(&mut self.position, cx)).await
    }
}

impl Stream for ServerEvents {
    type Item = ServerEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ServerEvent>> {
        let Self { log, position } = &mut *self;
        log.poll(position, cx)
    }
}

impl Drop for ServerEvents {
    fn drop(&mut self) {
        self.log.unsubscribe(&self.position);
    }
}

impl fmt::Debug for ServerEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerEvents").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::event_log::MAX_EVENTS;
    use super::*;
    use crate::server::state::ServerState;
    use futures_util::FutureExt as _;
    use std::task::{Wake, Waker};

    fn serving() -> ServerEvent {
        ServerEvent::StateChanged {
            state: ServerState::Serving,
            reason: None,
        }
    }

    /// Returns the next event if it is already there.
    fn now(events: &mut ServerEvents) -> Option<Option<ServerEvent>> {
        events.next().now_or_never()
    }

    #[test]
    fn an_event_is_not_made_while_nobody_listens() {
        let source = EventSource::new();
        source.publish(|| panic!("nobody listens"));
        let mut events = ServerEvents::of(&source);
        assert_eq!(now(&mut events), None);
        source.publish(serving);
        drop(events);
        source.publish(|| panic!("nobody listens any more"));
        // The events that the last reader did not read are gone.
        assert_eq!(now(&mut ServerEvents::of(&source)), None);
    }

    #[test]
    fn a_reader_that_lags_gets_a_gap_and_then_the_rest() {
        let source = EventSource::new();
        let mut slow = ServerEvents::of(&source);
        let mut quick = ServerEvents::of(&source);
        for _ in 0..MAX_EVENTS + 3 {
            source.publish(serving);
            assert_eq!(now(&mut quick), Some(Some(serving())));
        }
        source.close();
        source.publish(serving);
        assert_eq!(now(&mut quick), Some(None));
        assert_eq!(now(&mut slow), Some(Some(ServerEvent::Missed(3))));
        for _ in 0..MAX_EVENTS {
            assert_eq!(now(&mut slow), Some(Some(serving())));
        }
        assert_eq!(now(&mut slow), Some(None));
    }

    #[tokio::test]
    async fn readers_that_wait_are_woken_and_all_of_them_reach_the_end() {
        let source = EventSource::new();
        let (mut one, mut two) = (ServerEvents::of(&source), ServerEvents::of(&source));
        let (first, second, ()) = tokio::join!(one.next(), two.next(), async {
            source.publish(serving);
        });
        assert_eq!((first, second), (Some(serving()), Some(serving())));
        let (first, second, ()) = tokio::join!(one.next(), two.next(), async { drop(source) });
        assert_eq!((first, second), (None, None));
    }

    /// A waker that uses the log when it is dropped.
    struct Meddler(Arc<EventSource>);

    impl Wake for Meddler {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Meddler {
        fn drop(&mut self) {
            drop(ServerEvents::of(&self.0));
        }
    }

    #[test]
    fn a_waker_may_use_the_log_when_it_is_dropped() {
        let source = Arc::new(EventSource::new());
        let mut events = ServerEvents::of(&source);
        // The second waker replaces the first one, and is dropped with the reader.
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(Meddler(source.clone())));
            let polled = Pin::new(&mut events).poll_next(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        drop(events);
    }
}
