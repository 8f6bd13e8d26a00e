//! One HTTP/2 connection to an endpoint of etcd, and the task that drives it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use http::Uri;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Owed};
use super::io::Io;
use super::liveness::{LOOK, Liveness, Step};
use super::member_version::MemberVersion;
use super::transport::EtcdTransport;
use super::witness::{Witness, WitnessedIo};
use crate::environment::Environment;

/// Several pages of a list without a pause. A watch that nobody reads holds so much and no more.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The most that HTTP/2 knows. What bounds the memory are the windows of the streams: one for the
/// connection that a few unread watches could fill would hold up the renewals of leases. This one
/// takes two thousand of them.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// Streams opened before etcd has said how many it takes.
const INITIAL_STREAMS: usize = 1024;
/// Cancelled exchanges that the connection remembers for a second, so that an answer that comes
/// late is known as such: thousands of callers may give up at once.
const MAX_RESETS: usize = 16 * 1024;
/// Parts of answers that may come when their exchanges are not remembered any more: the HTTP/2
/// library ends a connection on which there are too many. A small answer has three parts.
const MAX_LATE_PARTS: usize = 128 * 1024;

/// Spawns the tasks of connections. They end with their connections, and all of them once `closed`
/// is cancelled, which the owner of the connections does. A panic in one ends its connection alone.
#[derive(Clone)]
pub(super) struct ConnectionTasks {
    pub(super) environment: Environment,
    pub(super) closed: CancellationToken,
}

impl ConnectionTasks {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closed = self.closed.clone();
        drop(self.environment.spawn(async move {
            closed.run_until_cancelled(task).await;
        }));
    }
}

/// One HTTP/2 connection to an endpoint.
pub(super) struct EtcdConnection {
    sender: SendRequest<Bytes>,
    activity: Arc<Activity>,
    witness: Witness,
    retired: AtomicBool,
    proven: AtomicBool,
    origin: Uri,
    authenticating: Mutex<()>,
    /// Once the endpoint has told its version.
    orders_progress: AtomicBool,
}

impl EtcdConnection {
    /// Begins to speak HTTP/2. The other side need not have answered yet.
    pub(super) async fn begin(
        tasks: &ConnectionTasks,
        io: Box<dyn Io>,
        origin: Uri,
    ) -> Result<Self, h2::Error> {
        let activity = Arc::new(Activity::new(&tasks.environment));
        let witness = Witness::default();
        let io = witness.watch(io, Arc::clone(&activity));
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_max_send_streams(INITIAL_STREAMS)
            .max_concurrent_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(Some(MAX_LATE_PARTS));
        let (sender, mut connection) = builder.handshake(io).await?;
        let driver = EtcdDriver {
            pings: connection.ping_pong(),
            connection,
            environment: tasks.environment.clone(),
            activity: Arc::clone(&activity),
        };
        tasks.spawn(driver.run());
        Ok(Self {
            sender,
            activity,
            witness,
            retired: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            origin,
            authenticating: Mutex::default(),
            orders_progress: AtomicBool::new(false),
        })
    }

    pub(super) fn transport(&self) -> EtcdTransport {
        EtcdTransport::new(self.sender.clone(), Arc::clone(&self.activity))
    }

    /// Scheme and authority of the endpoint.
    pub(super) fn origin(&self) -> Uri {
        self.origin.clone()
    }

    /// Why reading from it failed, if it did.
    pub(super) fn read_failure(&self) -> Option<io::Error> {
        self.witness.take()
    }

    /// Takes note of the version that the endpoint says it has.
    pub(super) fn learn_version(&self, version: &str) {
        let ordered = MemberVersion::parse(version).is_some_and(MemberVersion::orders_progress);
        self.orders_progress.store(ordered, Ordering::Relaxed);
    }

    /// See [`MemberVersion::orders_progress`].
    pub(super) fn orders_progress(&self) -> bool {
        self.orders_progress.load(Ordering::Relaxed)
    }

    /// Waits for the turn to authenticate over this connection: checking a password costs etcd
    /// more than hundreds of requests.
    pub(super) async fn authenticating(&self) -> MutexGuard<'_, ()> {
        self.authenticating.lock().await
    }

    /// An exchange over it waits for its answer until this is dropped.
    pub(super) fn owe(&self) -> Owed {
        self.activity.owe()
    }

    /// Waits until the other side is known to be there. False when the connection has ended.
    pub(super) async fn assured(&self) -> bool {
        self.activity.assured().await
    }

    /// Waits until the other side is silent, or the connection has ended.
    pub(super) async fn fell_silent(&self) {
        self.activity.fell_silent().await;
    }

    pub(super) fn is_silent(&self) -> bool {
        self.activity.is_silent()
    }

    /// It has been of use. True for the first time.
    pub(super) fn prove(&self) -> bool {
        !self.is_proven() && !self.proven.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// No further exchange goes over it; those on their way may end.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.activity.has_ended() && !self.retired.load(Ordering::Relaxed)
    }
}

/// Drives a connection to its end, and probes the other side.
struct EtcdDriver {
    connection: h2::client::Connection<WitnessedIo>,
    pings: Option<PingPong>,
    environment: Environment,
    activity: Arc<Activity>,
}

impl EtcdDriver {
    async fn run(mut self) {
        let mut liveness = Liveness::new(self.environment.now());
        loop {
            let sight = self.activity.sight();
            let step = liveness.look(sight);
            if sight.wanted && !liveness.is_probing() {
                self.activity.stop_wanting();
            }
            let Some(due) = self.take(step) else {
                return;
            };
            tokio::select! {
                biased;
                ended = &mut self.connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection to etcd broke");
                    }
                    return;
                }
                () = pong(&mut self.pings) => self.activity.pong(),
                () = self.activity.woken() => {}
                () = pause(&self.environment, due) => {}
            }
        }
    }

    /// Carries a step out. Returns after what time to look again unless something is sent (`MAX`:
    /// not before), and `None` when the connection is over.
    fn take(&mut self, step: Step) -> Option<Duration> {
        let due = match step {
            Step::Sleep => Duration::MAX,
            Step::Look(due) => due,
            Step::Probe => {
                if let Some(pings) = &mut self.pings {
                    // One that is on its way already is as good.
                    let _ = pings.send_ping(Ping::opaque());
                }
                LOOK
            }
            Step::Silent => {
                self.activity.fall_silent();
                LOOK
            }
            Step::Broken => {
                tracing::debug!("a connection to etcd was silent for 2 s");
                self.activity.give_up();
                return None;
            }
        };
        let rests = due > LOOK && self.activity.rest();
        if !rests {
            self.activity.look_on();
        }
        Some(if rests { due } else { due.min(LOOK) })
    }
}

impl Drop for EtcdDriver {
    fn drop(&mut self) {
        self.activity.end();
    }
}

/// Waits until a probe is answered.
async fn pong(pings: &mut Option<PingPong>) {
    if let Some(pings) = pings
        && poll_fn(|cx| pings.poll_pong(cx)).await.is_ok()
    {
        return;
    }
    // The connection ends.
    std::future::pending().await
}

async fn pause(environment: &Environment, due: Duration) {
    match due {
        Duration::MAX => std::future::pending().await,
        due => environment.sleep(due).await,
    }
}
