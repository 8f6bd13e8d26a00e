//! Polling of what is seldom ready.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;

use crate::environment::Environment;

/// A future that seldom becomes ready.
pub(super) type Alarm = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Goes off after this time, counted from the first poll.
pub(super) fn alarm(environment: &Environment, time: Duration) -> Alarm {
    let environment = environment.clone();
    Box::pin(async move { environment.sleep(time).await })
}

/// Polls futures that are seldom ready only when one of them has woken the task.
///
/// A link's task wakes for each batch of frames. To poll its orders and timers each time costs as
/// much as two requests, most of it in the locks of cancellation tokens.
pub(super) struct Seldom {
    state: Arc<SeldomState>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct SeldomState {
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for SeldomState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Seldom {
    /// For futures that were never polled.
    pub(super) fn new() -> Self {
        let state = Arc::new(SeldomState {
            is_woken: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            waker: Waker::from(Arc::clone(&state)),
            state,
        }
    }

    /// Notes that there is a future that was never polled. Call this before the next poll.
    pub(super) fn note_new(&self) {
        self.state.is_woken.store(true, Ordering::Release);
    }

    /// Polls the futures with `poll`, unless none of them has woken the task. Each of them must be
    /// kept from one poll to the next.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.state.task.register(cx.waker());
        if !self.state.is_woken.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // Before they are polled: one that wakes from now on is polled next time.
        self.state.is_woken.swap(false, Ordering::AcqRel);
        let polled = poll(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            // Of the others, some may not have been polled.
            self.note_new();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn futures_are_polled_when_they_are_new_or_have_woken_the_task() {
        let seldom = Seldom::new();
        let mut timer = Box::pin(sleep(Duration::from_secs(2)));
        let mut polls = 0;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        poll_fn(|cx| {
            // Others wake the task again and again.
            while tick.poll_tick(cx).is_ready() {}
            seldom.poll(cx, |cx| {
                polls += 1;
                timer.as_mut().poll(cx)
            })
        })
        .await;
        assert_eq!(polls, 2);
    }

    #[tokio::test]
    async fn what_was_not_polled_beside_one_that_was_ready_has_its_turn() {
        let seldom = Seldom::new();
        let mut polls = 0;
        for _ in 0..3 {
            poll_fn(|cx| {
                seldom.poll(cx, |_| {
                    polls += 1;
                    Poll::Ready(())
                })
            })
            .await;
        }
        assert_eq!(polls, 3);
        let later = poll_fn(|cx| {
            Poll::Ready((
                seldom.poll(cx, |_| Poll::<()>::Pending).is_pending(),
                seldom.poll(cx, |_| Poll::<()>::Ready(())).is_pending(),
            ))
        });
        assert_eq!(later.await, (true, true), "nothing has woken the task");
        seldom.note_new();
        poll_fn(|cx| seldom.poll(cx, |_| Poll::Ready(()))).await;
    }
}
