//! A runtime on its own thread, for code that must run while every other runtime is stalled.

use std::future::Future;
use std::io;
use std::thread::Builder;

use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where the future of a [`DedicatedRuntime`] runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum DedicatedExecutor {
    /// On a thread and a current-thread runtime, which nothing else can starve.
    Thread,
    /// As a task on the caller's runtime, for simulations.
    Task,
    /// Nowhere: simulates a system that has no thread left.
    #[cfg(test)]
    Exhausted,
}

/// A future that runs on its own runtime. Dropping this asks the future to end, without waiting for
/// that.
#[derive(Debug)]
pub(crate) struct DedicatedRuntime {
    stop: DropGuard,
    /// Closed when the future and everything that it spawned have been dropped.
    ended: oneshot::Receiver<()>,
}

impl DedicatedRuntime {
    /// Starts `future`, and returns once it runs. Its runtime, and the tasks it spawns there, end
    /// with it.
    ///
    /// Cancel safe: a thread that has already started is asked to end.
    pub(super) async fn start<F>(
        executor: DedicatedExecutor,
        name: &str,
        future: F,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let (ended, has_ended) = oneshot::channel();
        let dedicated = Self {
            stop: stop.clone().drop_guard(),
            ended: has_ended,
        };
        match executor {
            DedicatedExecutor::Thread => run_on_thread(name, stop, ended, future).await?,
            DedicatedExecutor::Task => run_as_task(stop, ended, future),
            #[cfg(test)]
            DedicatedExecutor::Exhausted => return Err(io::ErrorKind::WouldBlock.into()),
        }
        Ok(dedicated)
    }

    /// Ends the future, and returns once it has been dropped.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // All that is left for the thread is to exit: joining it would block for nothing.
        let _ = self.ended.await;
    }
}

async fn run_on_thread<F>(
    name: &str,
    stop: CancellationToken,
    ended: oneshot::Sender<()>,
    future: F,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (started, has_started) = oneshot::channel();
    // Owned by the `DedicatedRuntime`, which ends it and waits for `ended`. A panic ends it too;
    // the future has to notice that with a guard of its own.
    Builder::new().name(name.to_owned()).spawn(move || {
        let _ended = ended;
        // Created and dropped here: a runtime must not be dropped where another one runs tasks.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(stop.run_until_cancelled_owned(future));
                // Not dropped: a drop waits for host name lookups, which can take long.
                runtime.shutdown_background();
            }
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    let lost = || Err(io::Error::other("the thread ended before its future ran"));
    has_started.await.unwrap_or_else(|_| lost())
}

/// Owned by the `DedicatedRuntime`, which ends it.
#[allow(clippy::disallowed_methods)]
fn run_as_task<F>(stop: CancellationToken, ended: oneshot::Sender<()>, future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let _ended = ended;
        stop.run_until_cancelled_owned(future).await;
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    async fn runs_until_it_is_stopped(executor: DedicatedExecutor) {
        let (begun, dropped) = (Arc::new(Notify::new()), Arc::new(()));
        let (begins, held) = (begun.clone(), dropped.clone());
        let future = async move {
            let spawned = held.clone();
            #[allow(clippy::disallowed_methods)]
            tokio::spawn(async move {
                let _spawned = spawned;
                std::future::pending::<()>().await;
            });
            begins.notify_one();
            let _held = held;
            std::future::pending().await
        };
        let dedicated = DedicatedRuntime::start(executor, "a-test", future)
            .await
            .unwrap();
        begun.notified().await;
        dedicated.stop().await;
        // A task on the caller's runtime keeps running: nothing has ended that runtime.
        let spawned = usize::from(matches!(executor, DedicatedExecutor::Task));
        assert_eq!(Arc::strong_count(&dropped), 1 + spawned);
    }

    #[tokio::test]
    async fn a_thread_runs_until_stopped_and_its_tasks_end_with_it() {
        runs_until_it_is_stopped(DedicatedExecutor::Thread).await;
    }

    #[tokio::test]
    async fn a_task_runs_until_it_is_stopped() {
        runs_until_it_is_stopped(DedicatedExecutor::Task).await;
    }

    #[tokio::test]
    async fn a_drop_asks_it_to_end_and_a_panic_ends_it() {
        let future = std::future::pending();
        let mut dedicated = DedicatedRuntime::start(DedicatedExecutor::Thread, "a-test", future)
            .await
            .unwrap();
        let (_, never) = oneshot::channel();
        let ended = std::mem::replace(&mut dedicated.ended, never);
        drop(dedicated);
        assert!(ended.await.is_err());

        let future = async { panic!("on purpose") };
        let dedicated = DedicatedRuntime::start(DedicatedExecutor::Thread, "a-test", future)
            .await
            .unwrap();
        dedicated.stop().await;
    }
}
