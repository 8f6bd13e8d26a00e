//! Checks deadlines at short intervals, even while a runtime is stalled or a log is blocked.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Thread, park_timeout};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::dedicated_runtime::DedicatedExecutor;

/// The time between two checks. After a process was stopped and resumed, the first check happens
/// within this time. Twenty checks a second cost too little to measure.
const WATCHDOG_INTERVAL: Duration = Duration::from_millis(50);
const WATCHDOG_THREAD: &str = "actorgrid-watchdog";

/// A running watchdog. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Watchdog {
    stopped: Arc<AtomicBool>,
    run: WatchdogRun,
}

#[derive(Debug)]
enum WatchdogRun {
    Thread(Thread),
    Task(AbortHandle),
}

impl Watchdog {
    /// Calls `look` until it returns false. `look` must neither block nor log: a log call blocks
    /// for as long as its sink does.
    pub(super) fn start(
        executor: DedicatedExecutor,
        look: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let run = match executor {
            DedicatedExecutor::Thread => run_on_thread(stopped.clone(), look)?,
            DedicatedExecutor::Task => run_as_task(look),
            #[cfg(test)]
            DedicatedExecutor::Exhausted => return Err(io::ErrorKind::WouldBlock.into()),
        };
        Ok(Self { stopped, run })
    }
}

fn run_on_thread(
    stopped: Arc<AtomicBool>,
    look: impl Fn() -> bool + Send + 'static,
) -> io::Result<WatchdogRun> {
    // Owned by the `Watchdog`, whose drop wakes the thread so that it ends. The thread cannot
    // panic: `look` only compares numbers and wakes tasks.
    let thread = Builder::new()
        .name(WATCHDOG_THREAD.to_owned())
        .spawn(move || {
            while !stopped.load(Ordering::Acquire) && look() {
                park_timeout(WATCHDOG_INTERVAL);
            }
        })?;
    Ok(WatchdogRun::Thread(thread.thread().clone()))
}

/// The task is owned by the `Watchdog`, which aborts it when dropped.
#[allow(clippy::disallowed_methods)]
fn run_as_task(look: impl Fn() -> bool + Send + 'static) -> WatchdogRun {
    let task = tokio::spawn(async move {
        while look() {
            tokio::time::sleep(WATCHDOG_INTERVAL).await;
        }
    });
    WatchdogRun::Task(task.abort_handle())
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        match &self.run {
            WatchdogRun::Thread(thread) => thread.unpark(),
            WatchdogRun::Task(task) => task.abort(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    async fn looks_until_it_is_dropped(executor: DedicatedExecutor) {
        let (looks, mut looked) = mpsc::unbounded_channel();
        let watchdog = Watchdog::start(executor, move || looks.send(()).is_ok()).unwrap();
        for _ in 0..3 {
            looked.recv().await.unwrap();
        }
        drop(watchdog);
        while looked.recv().await.is_some() {}
    }

    #[tokio::test]
    async fn a_thread_looks_until_it_is_dropped() {
        looks_until_it_is_dropped(DedicatedExecutor::Thread).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_looks_until_it_is_dropped() {
        looks_until_it_is_dropped(DedicatedExecutor::Task).await;
    }
}
