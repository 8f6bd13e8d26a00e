use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Environment;

/// The longest time between two looks: what a process that was stopped can be late by, at most,
/// when it goes on. Twenty looks a second cost nothing that can be measured.
const INTERVAL: Duration = Duration::from_millis(50);

/// What a watchdog looks at.
pub(crate) trait Watched: Send + Sync + 'static {
    /// Compares the clock with the deadlines. Does not block. False: nothing is left to watch.
    fn look(&self) -> bool;
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Executor {
    /// A thread, which a blocked runtime cannot starve.
    Thread,
    /// A task, for simulations.
    Task,
}

/// A running watchdog; ends when dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    stopped: Arc<AtomicBool>,
    run: Run,
}

#[derive(Debug)]
enum Run {
    Thread(std::thread::Thread),
    Task(tokio::task::AbortHandle),
}

pub(super) fn start(
    environment: &Environment,
    executor: Executor,
    watched: Arc<dyn Watched>,
) -> std::io::Result<Watchdog> {
    let stopped = Arc::new(AtomicBool::new(false));
    let run = match executor {
        Executor::Thread => {
            let stopped = Arc::clone(&stopped);
            // Owned by the returned guard, which wakes it to end; it cannot panic, as `look`
            // only compares numbers and wakes tasks.
            let builder = std::thread::Builder::new().name("actorgrid-watchdog".to_owned());
            let thread = builder.spawn(move || {
                while !stopped.load(Ordering::Acquire) && watched.look() {
                    std::thread::park_timeout(INTERVAL);
                }
            })?;
            Run::Thread(thread.thread().clone())
        }
        Executor::Task => {
            let clock = environment.clone();
            let task = environment.spawn(async move {
                while watched.look() {
                    clock.sleep(INTERVAL).await;
                }
            });
            Run::Task(task.abort_handle())
        }
    };
    Ok(Watchdog { stopped, run })
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        match &self.run {
            Run::Thread(thread) => thread.unpark(),
            Run::Task(task) => task.abort(),
        }
    }
}
