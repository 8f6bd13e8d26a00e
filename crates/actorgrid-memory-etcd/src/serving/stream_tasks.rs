//! The streams of one connection, as a part of its future.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;

type StreamTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Collects the futures that hyper would have spawned, so that the future of a connection contains
/// all that runs for it, and dropping it ends everything. There are no more than concurrent
/// streams.
#[derive(Clone, Default)]
pub(super) struct StreamTasks(Arc<Mutex<Vec<StreamTask>>>);

impl StreamTasks {
    /// Drives a connection, and the streams that it hands over, until it ends.
    pub(super) async fn drive(self, connection: impl Future) {
        let mut connection = pin!(connection);
        let mut streams = FuturesUnordered::new();
        poll_fn(|cx| {
            loop {
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                let new = std::mem::take(&mut *self.lock());
                let is_idle = new.is_empty();
                streams.extend(new);
                while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {}
                if is_idle {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<StreamTask>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Executor<F> for StreamTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.lock().push(Box::pin(future));
    }
}

impl fmt::Debug for StreamTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamTasks").finish_non_exhaustive()
    }
}
