//! The tasks of one server or one pool.

use std::future::Future;

use tokio_util::task::TaskTracker;

use crate::environment::Environment;

/// The tasks of one server or one pool: those that encode large replies, those in which hyper
/// drives the connections of a pool, and those that drive its links.
///
/// They are counted, so that their owner can wait until they end. Nothing aborts them individually:
/// each ends when its connection does, and the owner ends the connections. A panic in one ends only
/// that stream or connection.
#[derive(Debug, Clone)]
pub(super) struct Tasks {
    environment: Environment,
    tracker: TaskTracker,
}

impl Tasks {
    pub(super) fn new(environment: Environment) -> Self {
        Self {
            environment,
            tracker: TaskTracker::new(),
        }
    }

    pub(super) fn spawn<F>(&self, future: F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        drop(self.environment.spawn(self.tracker.track_future(future)));
    }

    /// Waits until all tasks have ended. Cancel safe.
    pub(super) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}
