//! Looks at deadlines at short intervals, also while the runtime is blocked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest time between two looks. A process that was stopped notices at most this much late
/// that it runs again. Twenty looks a second cost nothing that can be measured.
const INTERVAL: Duration = Duration::from_millis(50);

/// What a watchdog looks at.
pub(crate) trait WatchdogTarget: Send + Sync + 'static {
    /// Compares the clock with the deadlines. Does not block. Returns false once nothing is left to
    /// watch.
    fn look(&self) -> bool;
}

/// Where a watchdog runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum WatchdogExecutor {
    /// A thread, which a blocked runtime cannot starve.
    Thread,
    /// A task, for simulations.
    Task,
}

/// A running watchdog; ends when dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    stopped: Arc<AtomicBool>,
    run: WatchdogRun,
}

#[derive(Debug)]
enum WatchdogRun {
    Thread(std::thread::Thread),
    Task(tokio::task::AbortHandle),
}

impl Watchdog {
    pub(super) fn start(
        executor: WatchdogExecutor,
        target: Arc<dyn WatchdogTarget>,
    ) -> std::io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let run = match executor {
            WatchdogExecutor::Thread => run_on_thread(Arc::clone(&stopped), target)?,
            WatchdogExecutor::Task => run_as_task(target),
        };
        Ok(Self { stopped, run })
    }
}

fn run_on_thread(
    stopped: Arc<AtomicBool>,
    target: Arc<dyn WatchdogTarget>,
) -> std::io::Result<WatchdogRun> {
    // Owned by the returned guard, which wakes it to end; it cannot panic, as `look` only compares
    // numbers and wakes tasks.
    let builder = std::thread::Builder::new().name("actorgrid-watchdog".to_owned());
    let thread = builder.spawn(move || {
        while !stopped.load(Ordering::Acquire) && target.look() {
            std::thread::park_timeout(INTERVAL);
        }
    })?;
    Ok(WatchdogRun::Thread(thread.thread().clone()))
}

/// Owned by the returned guard, which aborts it.
#[allow(clippy::disallowed_methods)]
fn run_as_task(target: Arc<dyn WatchdogTarget>) -> WatchdogRun {
    let task = tokio::spawn(async move {
        while target.look() {
            tokio::time::sleep(INTERVAL).await;
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
