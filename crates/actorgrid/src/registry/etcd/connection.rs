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
use super::liveness::{LOOK_INTERVAL, Liveness, Step};
use super::member_version::MemberVersion;
use super::transport::EtcdTransport;
use super::witness::{Witness, WitnessedIo};
use crate::environment::Environment;

/// The flow-control window of a stream: several pages of a listing without a pause. A watch that
/// nobody reads buffers at most this much.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The flow-control window of the connection: the maximum of HTTP/2. The windows of the streams
/// bound the memory; a smaller window for the connection could be filled by a few unread watches,
/// which would block the renewals of leases. It takes two thousand unread watches to fill this one.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// The number of streams that may be opened before etcd has announced its limit.
const INITIAL_STREAMS: usize = 1024;
/// The number of cancelled exchanges that the connection remembers for a second, in order to
/// recognise late replies: thousands of callers may stop waiting at once.
const MAX_RESETS: usize = 16 * 1024;
/// The number of frames of replies that may arrive when their exchanges are no longer remembered:
/// the HTTP/2 library closes a connection with too many of them. A small reply has three frames.
const MAX_LATE_PARTS: usize = 128 * 1024;

/// Spawns the tasks of connections. Each ends with its connection, and all end once the owner of
/// the connections cancels `closed`. A panic in one ends only its connection.
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
    /// Set once the endpoint has reported its version.
    orders_progress: AtomicBool,
}

impl EtcdConnection {
    /// Begins HTTP/2 on a byte stream. The other side need not have replied yet.
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

    /// Returns the scheme and the authority of the endpoint.
    pub(super) fn origin(&self) -> Uri {
        self.origin.clone()
    }

    /// Takes the error with which reading from the connection failed, if it did.
    pub(super) fn read_failure(&self) -> Option<io::Error> {
        self.witness.take()
    }

    /// Records the version that the endpoint reported.
    pub(super) fn learn_version(&self, version: &str) {
        let ordered = MemberVersion::parse(version).is_some_and(MemberVersion::orders_progress);
        self.orders_progress.store(ordered, Ordering::Relaxed);
    }

    /// See [`MemberVersion::orders_progress`].
    pub(super) fn orders_progress(&self) -> bool {
        self.orders_progress.load(Ordering::Relaxed)
    }

    /// Waits for its turn to authenticate over this connection: checking a password costs etcd more
    /// than hundreds of requests.
    pub(super) async fn authenticating(&self) -> MutexGuard<'_, ()> {
        self.authenticating.lock().await
    }

    /// Marks an exchange over this connection as waiting for its reply until the result is dropped.
    pub(super) fn owe(&self) -> Owed {
        self.activity.owe()
    }

    /// Waits until the other side is known to be alive. Returns false if the connection has ended.
    pub(super) async fn assured(&self) -> bool {
        self.activity.assured().await
    }

    /// Waits until the other side is silent or the connection has ended.
    pub(super) async fn fell_silent(&self) {
        self.activity.fell_silent().await;
    }

    pub(super) fn is_silent(&self) -> bool {
        self.activity.is_silent()
    }

    /// Records that the connection was used successfully. Returns true the first time.
    pub(super) fn prove(&self) -> bool {
        !self.is_proven() && !self.proven.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// Takes the connection out of use for new exchanges; those under way may complete.
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

    /// Carries out a step. Returns the time after which to look again unless something is sent
    /// earlier (`MAX`: only then), or `None` if the connection is over.
    fn take(&mut self, step: Step) -> Option<Duration> {
        let due = match step {
            Step::Sleep => Duration::MAX,
            Step::Look(due) => due,
            Step::Probe => {
                if let Some(pings) = &mut self.pings {
                    // Fails if a ping is under way already, which serves as well.
                    let _ = pings.send_ping(Ping::opaque());
                }
                LOOK_INTERVAL
            }
            Step::Silent => {
                self.activity.fall_silent();
                LOOK_INTERVAL
            }
            Step::Broken => {
                tracing::debug!("abandoning a connection to etcd that was silent for 2 s");
                self.activity.give_up();
                return None;
            }
        };
        let rests = due > LOOK_INTERVAL && self.activity.rest();
        if !rests {
            self.activity.look_on();
        }
        Some(if rests { due } else { due.min(LOOK_INTERVAL) })
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
    // The connection is ending, which the caller notices.
    std::future::pending().await
}

async fn pause(environment: &Environment, due: Duration) {
    match due {
        Duration::MAX => std::future::pending().await,
        due => environment.sleep(due).await,
    }
}
