//! Tracks what happens on a connection to etcd, for its users and for the task that drives it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::liveness::Sight;
use crate::environment::{Environment, Timestamp};

/// No probe is needed if bytes arrived within this time.
const RECENTLY_HEARD: Duration = Duration::from_millis(500);

/// The activity on one connection.
///
/// The flags that decide whether its task wakes are sequentially consistent: either the task sees
/// what was sent, or the sender sees that the task rests.
pub(super) struct Activity {
    environment: Environment,
    /// The number of reads that returned bytes.
    heard: AtomicU64,
    /// When the last of these reads was, in nanoseconds of the environment's clock.
    heard_nanos: AtomicU64,
    /// Whether something was sent, and nothing has arrived since.
    asked: AtomicBool,
    /// The number of exchanges that wait for a reply.
    owed: AtomicUsize,
    streams: AtomicUsize,
    /// The number of replies to probes.
    pongs: AtomicU64,
    /// Whether a request that was sent after the last reply to a probe has been answered.
    answered: AtomicBool,
    /// Whether a caller waits for a sign of life.
    wanted: AtomicBool,
    /// Whether the task of the connection looks at it periodically.
    looks: AtomicBool,
    wake: Notify,
    silent: AtomicBool,
    /// Whether the connection was abandoned because of its silence.
    given_up: AtomicBool,
    ended: AtomicBool,
    /// Notifies waiting callers that something has changed.
    changed: Notify,
}

impl Activity {
    pub(super) fn new(environment: &Environment) -> Self {
        Self {
            environment: environment.clone(),
            heard: AtomicU64::new(0),
            heard_nanos: AtomicU64::new(environment.now().as_nanos()),
            asked: AtomicBool::new(false),
            owed: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            pongs: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            looks: AtomicBool::new(false),
            wake: Notify::new(),
            silent: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    // Reports of the users of the connection.

    /// Records that bytes have arrived.
    pub(super) fn heard(&self) {
        let now = self.environment.now().as_nanos();
        self.heard_nanos.store(now, Ordering::Relaxed);
        self.heard.fetch_add(1, Ordering::Release);
        self.asked.store(false, Ordering::SeqCst);
        self.silent.store(false, Ordering::Release);
        if self.wanted.load(Ordering::SeqCst) {
            self.stop_wanting();
        }
    }

    /// Records that something was sent to which the other side reacts.
    pub(super) fn asked(&self) {
        self.asked.store(true, Ordering::SeqCst);
        if !self.looks.swap(true, Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Marks an exchange as waiting for a reply until the result is dropped.
    pub(super) fn owe(self: &Arc<Self>) -> Owed {
        self.owed.fetch_add(1, Ordering::SeqCst);
        Owed(Arc::clone(self))
    }

    /// Marks a stream as open until the result is dropped.
    pub(super) fn open_stream(self: &Arc<Self>) -> OpenStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        OpenStream {
            activity: Arc::clone(self),
            pongs: self.pongs.load(Ordering::Acquire),
        }
    }

    // Conditions that the users of the connection wait for.

    /// Waits until the other side is known to be alive: it sent bytes recently, or answers a probe,
    /// or may not be probed now. Returns false if the connection has ended.
    pub(super) async fn assured(&self) -> bool {
        let heard = self.heard.load(Ordering::Acquire);
        let at = Timestamp::from_nanos(self.heard_nanos.load(Ordering::Relaxed));
        if self.environment.now().since(at) < RECENTLY_HEARD {
            return !self.has_ended();
        }
        self.wanted.store(true, Ordering::SeqCst);
        self.wake.notify_one();
        let settled = || {
            let wanted = self.wanted.load(Ordering::SeqCst);
            self.has_ended() || !wanted || self.heard.load(Ordering::Acquire) != heard
        };
        self.wait_until(settled).await;
        !self.has_ended()
    }

    /// Waits until the other side is silent or the connection has ended.
    pub(super) async fn fell_silent(&self) {
        self.wait_until(|| self.is_silent() || self.has_ended())
            .await;
    }

    async fn wait_until(&self, settled: impl Fn() -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if settled() {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    // Methods for the task of the connection.

    pub(super) fn sight(&self) -> Sight {
        Sight {
            now: self.environment.now(),
            heard: self.heard.load(Ordering::Acquire),
            expects: self.expects(),
            streams: self.streams.load(Ordering::Relaxed) > 0,
            answered: self.answered.load(Ordering::Acquire),
            wanted: self.wanted.load(Ordering::SeqCst),
        }
    }

    fn expects(&self) -> bool {
        self.asked.load(Ordering::SeqCst) || self.owed.load(Ordering::SeqCst) > 0
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Lets the task rest until it is woken. Returns false if something is expected nevertheless.
    pub(super) fn rest(&self) -> bool {
        self.looks.store(false, Ordering::SeqCst);
        !self.expects()
    }

    pub(super) fn look_on(&self) {
        self.looks.store(true, Ordering::SeqCst);
    }

    /// Records that a probe was answered.
    pub(super) fn pong(&self) {
        self.pongs.fetch_add(1, Ordering::AcqRel);
        self.answered.store(false, Ordering::Release);
    }

    /// Ends the waits for a sign of life.
    pub(super) fn stop_wanting(&self) {
        self.wanted.store(false, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(super) fn fall_silent(&self) {
        if !self.silent.swap(true, Ordering::AcqRel) {
            self.changed.notify_waiters();
        }
    }

    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// A guard of an exchange that waits for a reply.
pub(super) struct Owed(Arc<Activity>);

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.owed.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A guard of an open stream.
pub(super) struct OpenStream {
    activity: Arc<Activity>,
    /// The number of replies to probes before the stream was opened.
    pongs: u64,
}

impl OpenStream {
    /// Records that the other side has begun to reply.
    pub(super) fn answered(&self) {
        if self.activity.pongs.load(Ordering::Acquire) == self.pongs {
            self.activity.answered.store(true, Ordering::Release);
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.activity.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
