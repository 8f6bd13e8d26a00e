//! An event that happens once, and that tasks wait for.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// An event that happens once. Tasks wait for it, and a task that comes later finds that it has
/// happened. It has a third of the size of a cancellation token, which can have children.
#[derive(Debug, Default)]
pub(crate) struct OnceEvent {
    has_happened: AtomicBool,
    notify: Notify,
}

impl OnceEvent {
    /// The event happens. Further calls do nothing.
    pub(crate) fn happen(&self) {
        if !self.has_happened.swap(true, Ordering::AcqRel) {
            self.notify.notify_waiters();
        }
    }

    /// Waits until the event has happened. Cancel safe.
    pub(crate) async fn happened(&self) {
        let mut notified = pin!(self.notify.notified());
        // A call of `happen` from here on is noticed, and an earlier one is seen.
        notified.as_mut().enable();
        if !self.has_happened.load(Ordering::Acquire) {
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn it_is_waited_for_and_found_later() {
        let event = OnceEvent::default();
        let mut waits = [pin!(event.happened()), pin!(event.happened())];
        for waits in &mut waits {
            assert!(waits.as_mut().now_or_never().is_none());
        }
        event.happen();
        event.happen();
        for waits in waits {
            waits.await;
        }
        event.happened().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[allow(clippy::disallowed_methods)] // the test joins its task
    async fn it_is_not_missed() {
        for _ in 0..2_000 {
            let event = Arc::new(OnceEvent::default());
            let happens = event.clone();
            let other = tokio::spawn(async move { happens.happen() });
            event.happened().await;
            other.await.unwrap();
        }
    }
}
